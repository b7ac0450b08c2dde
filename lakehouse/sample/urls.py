"""Requests for sample logs, as a geOrchestra site sees them: map servers, catalogue, viewer, data API and pages."""

from typing import NamedTuple
from urllib.parse import quote
from uuid import UUID

from lakehouse.sample.draws import Draws

_LAYERS = (
    "cadastre:parcelles",
    "ortho:ortho_2024",
    "urba:plu_zonage",
    "transport:reseau_bus",
    "env:zones_humides",
    "adm:communes",
    "transport:pistes_cyclables",
    "urba:plu_prescriptions",
    "env:cours_eau",
    "adm:densité_population",
    "cadastre:batiments",
    "ortho:ortho_2021",
    "reseau:eclairage_public",
)
_GEOSERVER_MAP = (
    "/geoserver/{workspace}/wms?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&FORMAT=image%2Fpng&TRANSPARENT=true"
    "&LAYERS={layer}&TILED=true&WIDTH=256&HEIGHT=256&CRS=EPSG%3A3857&STYLES=&BBOX={x},{y},{x2},{y2}"
)


class Request(NamedTuple):
    """What a client asks for, and how many bytes the smallest answer has."""

    method: str
    url: str
    size: int


# One request in as many kinds: the first ones are the most popular. {n} or a coordinate makes each URL unique.
_KINDS = (
    Request("GET", _GEOSERVER_MAP, 900),
    Request("GET", "/?lang=fr&visit={n}", 4200),
    Request(
        "GET",
        "/geoserver/gwc/service/wmts?layer={layer}&style=&tilematrixset=EPSG%3A3857&Service=WMTS&Request=GetTile"
        "&Version=1.0.0&Format=image%2Fjpeg&TileMatrix=EPSG%3A3857%3A14&TileCol={column}&TileRow={row}",
        8000,
    ),
    Request("GET", "/geonetwork/srv/api/records/{uuid}", 21000),
    Request("GET", "/mapstore/rest/geostore/data/{n}?full=true&includeAttributes=true", 15000),
    Request(
        "GET",
        "/geoserver/wfs?service=WFS&version=2.0.0&request=GetFeature&typeNames={layer}&outputFormat=application%2Fjson"
        "&srsName=EPSG%3A2154&count=50&startIndex={n}",
        30000,
    ),
    Request("GET", "/data/ogcapi/collections/{layer}/items?f=json&limit=20&offset={n}", 9000),
    Request("GET", _GEOSERVER_MAP.replace("image%2Fpng", "image%2Fjpeg").replace("256", "512"), 14000),
    Request("GET", "/datahub/dataset/{uuid}", 3100),
    Request("POST", "/geonetwork/srv/api/search/records/_search?bucket=s{n}", 18000),
    Request(
        "GET",
        "/geoserver/{workspace}/wms?service=wms&version=1.1.1&request=GetFeatureInfo&layers={layer}&query_layers={layer}"
        "&styles=&srs=EPSG:4326&bbox={x},{y},{x2},{y2}&width=101&height=101&x=50&y=50&info_format=application/json",
        700,
    ),
    Request(
        "GET",
        "/geoserver/ows?service=WFS&version=1.0.0&request=GetFeature&typeName={layer}&outputFormat=SHAPE-ZIP"
        "&cql_filter=gid%3D{n}",
        250000,
    ),
    Request("GET", "/mapstore/dist/{n}.chunk.js", 64000),
    Request("GET", _GEOSERVER_MAP.replace("{workspace}/wms", "wms"), 1100),
    Request("GET", "/geoserver/ogc/features/v1/collections/{layer}/items?f=application%2Fgeo%2Bjson&startIndex={n}", 12000),
    Request("GET", "/images/vignettes/{n}.jpg", 35000),
    Request(
        "GET",
        "/geoserver/{workspace}/wcs?service=WCS&version=2.0.1&request=GetCoverage&coverageId={layer}&i={n}",
        90000,
    ),
    Request("GET", "/geonetwork/srv/fre/xml.metadata.get?uuid={uuid}", 26000),
    Request("GET", "/actualites/{n}-nouvelles-donn%C3%A9es", 7400),
    Request(
        "POST",
        "/geoserver/wps?service=WPS&version=1.0.0&request=Execute&identifier=gs%3ABufferFeatureCollection&i={n}",
        2000,
    ),
    Request("GET", "/geoserver/{workspace}/wms?SERVICE=WMS&VERSION=1.3.0&REQUEST=GetCapabilities&nocache={n}", 48000),
)
# Pages that people ask for by heart; they come first, so they are the most popular.
_PAGES = (
    Request("GET", "/", 6100),
    Request("GET", "/mapstore/configs/localConfig.json", 52000),
    Request("GET", "/geonetwork/srv/fre/catalog.search", 11000),
    Request("GET", "/header/?lang=fr", 2300),
    Request("GET", "/favicon.ico", 1150),
    Request("GET", "/robots.txt", 68),
    Request("HEAD", "/health", 0),
)


def requests(count: int, draws: Draws) -> list[Request]:
    """That many requests with different URLs, the most popular first."""
    found = list(_PAGES[:count])
    for number in range(len(found), count):
        kind = _KINDS[number % len(_KINDS)]
        # The lesser of two remainders: the first layers are asked for more often.
        layer = _LAYERS[min(number % len(_LAYERS), number % 8)]
        # A grid of tiles over France in Web Mercator metres; 2,048 columns wide.
        row, column = divmod(number, 2048)
        x, y = -550_000 + column * 611, 5_160_000 + row * 611
        url = kind.url.format(
            n=number,
            layer=quote(layer, safe=":"),
            workspace=layer.split(":")[0],
            uuid=UUID(int=draws.bits(128), version=4) if "{uuid}" in kind.url else "",
            column=column,
            row=row,
            x=x,
            y=y,
            x2=x + 611,
            y2=y + 611,
        )
        found.append(kind._replace(url=url))
    return found
