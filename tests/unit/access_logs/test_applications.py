"""What is read of requests to map servers, catalogues and APIs."""

from typing import Any

import polars as pl
import pytest

from lakehouse.datasets.access_logs import applications
from lakehouse.datasets.access_logs.applications import ogc
from lakehouse.datasets.access_logs.urls import split_target

GETMAP = "SERVICE=WMS&VERSION=1.3.0&REQUEST=GetMap&FORMAT=image%2Fpng&TRANSPARENT=true"
UUID = "6f1e8c4a-93a1-4b0c-8d3f-0a5f6f2f7d11"


def described(url: str, mapping: dict[str, applications.Application] | None = None) -> dict[str, Any]:
    path, query = split_target(pl.Series([url]))
    prefixes = {**applications.DEFAULT_APPLICATIONS, **(mapping or {})}
    row = applications.describe(path, query, prefixes).row(0, named=True)
    return {name: value for name, value in row.items() if value is not None}


def expect(url: str, **fields: Any) -> Any:
    return pytest.param(url, fields, id=url)


@pytest.mark.parametrize(
    ("url", "fields"),
    [
        expect(
            f"/geoserver/wms?{GETMAP}&LAYERS=topp%3Astates%2Ctopp:roads&CRS=EPSG%3A3857&WIDTH=256&HEIGHT=512&BBOX=1,2,3,4",
            application="geoserver",
            service="WMS",
            request="GetMap",
            layers=["topp:states", "topp:roads"],
            workspace="topp",
            crs="EPSG:3857",
            image_format="image/png",
            image_width=256,
            image_height=512,
            tiled=False,
            is_download=False,
        ),
        expect(
            "/geoserver/ign/wms?service=wms&request=getmap&layers=ortho&srs=epsg:4326&format=image/jpeg&TILED=TRUE",
            application="geoserver",
            service="WMS",
            request="GetMap",
            layers=["ortho"],
            workspace="ign",
            crs="EPSG:4326",
            image_format="image/jpeg",
            tiled=True,
            is_download=False,
        ),
        expect(
            "/geoserver/ign/ortho/wms?REQUEST=GetMap&FORMAT=application/pdf",
            application="geoserver",
            service="WMS",
            request="GetMap",
            layers=["ortho"],
            workspace="ign",
            image_format="application/pdf",
            tiled=False,
            is_download=True,
        ),
        expect(
            "/geoserver/wms?REQUEST=GetMap&LAYERS=a:b&FORMAT=image/geotiff&WIDTH=99999999999",
            application="geoserver",
            service="WMS",
            request="GetMap",
            layers=["a:b"],
            workspace="a",
            image_format="image/geotiff",
            tiled=False,
            is_download=True,
        ),
        expect(
            "/geoserver/wms?SERVICE=WMS&amp;REQUEST=GetFeatureInfo&amp;QUERY_LAYERS=a:b&amp;INFO_FORMAT=text/html",
            application="geoserver",
            service="WMS",
            request="GetFeatureInfo",
            layers=["a:b"],
            workspace="a",
            is_download=False,
        ),
        expect(
            "/geoserver/wms/reflect?layers=a:b",
            application="geoserver",
            service="WMS",
            request="GetMap",
            layers=["a:b"],
            workspace="a",
            tiled=False,
            is_download=False,
        ),
        expect(
            "/geoserver/ows?service=WFS&version=2.0.0&request=GetFeature&typeNames=dem:communes&srsName=urn:ogc:def:crs:EPSG::2154&outputFormat=SHAPE-ZIP",
            application="geoserver",
            service="WFS",
            request="GetFeature",
            layers=["dem:communes"],
            workspace="dem",
            crs="EPSG:2154",
            image_format="shape-zip",
            is_download=True,
        ),
        expect(
            "/geoserver/wfs?request=GetFeature&typename=(a:b)(a:c),a:d&resulttype=HITS",
            application="geoserver",
            service="WFS",
            request="GetFeature",
            layers=["a:b", "a:c", "a:d"],
            workspace="a",
            is_download=False,
        ),
        expect("/geoserver/wfs", application="geoserver", service="WFS", is_download=False),
        expect("/geoserver/ows", application="geoserver", is_download=False),
        expect("/geoserver", application="geoserver", is_download=False),
        expect("/geoserver/web/wicket/bookmarkable/org.geoserver.Home", application="geoserver", is_download=False),
        expect("/geoserver/rest/services/wms/settings.json", application="geoserver", is_download=False),
        expect("/geoserver/rest/workspaces/topp/datastores", application="geoserver", is_download=False),
        expect(
            "/geoserver/gwc/service/wmts?layer=a:b&tilematrixset=EPSG:900913&Service=WMTS&Request=GetTile&Format=image%2Fpng&TileCol=1",
            application="geoserver",
            service="WMTS",
            request="GetTile",
            layers=["a:b"],
            workspace="a",
            crs="EPSG:900913",
            image_format="image/png",
            tiled=True,
            is_download=False,
        ),
        expect(
            "/geoserver/ign/gwc/service/wmts?REQUEST=GetCapabilities",
            application="geoserver",
            service="WMTS",
            request="GetCapabilities",
            workspace="ign",
            is_download=False,
        ),
        expect(
            "/geoserver/gwc/service/wms?LAYERS=a:b&REQUEST=GetMap&SRS=EPSG:3857",
            application="geoserver",
            service="WMS",
            request="GetMap",
            layers=["a:b"],
            workspace="a",
            crs="EPSG:3857",
            tiled=True,
            is_download=False,
        ),
        expect(
            "/geoserver/gwc/service/wmts/rest/a:b/default/EPSG:3857/EPSG:3857:7/44/66?format=image/png",
            application="geoserver",
            service="WMTS",
            request="GetTile",
            layers=["a:b"],
            workspace="a",
            crs="EPSG:3857",
            image_format="image/png",
            tiled=True,
            is_download=False,
        ),
        expect(
            "/geoserver/gwc/service/tms/1.0.0/a%3Ab@EPSG%3A900913@pbf/6/32/41.pbf",
            application="geoserver",
            service="TMS",
            request="GetTile",
            layers=["a:b"],
            workspace="a",
            crs="EPSG:900913",
            image_format="application/vnd.mapbox-vector-tile",
            tiled=True,
            is_download=False,
        ),
        expect(
            "/geoserver/wcs?service=WCS&version=2.0.1&request=GetCoverage&coverageId=nurc__mosaic&format=image/tiff",
            application="geoserver",
            service="WCS",
            request="GetCoverage",
            layers=["nurc__mosaic"],
            workspace="nurc",
            image_format="image/tiff",
            is_download=True,
        ),
        expect(
            "/geoserver/ows?service=WPS&request=Execute&identifier=gs:Clip",
            application="geoserver",
            service="WPS",
            request="Execute",
            is_download=True,
        ),
        expect(
            "/geoserver/ogc/features/v1/collections/topp:states/items?f=application%2Fgeo%2Bjson&limit=50",
            application="geoserver",
            service="OGCAPI-Features",
            request="Items",
            layers=["topp:states"],
            workspace="topp",
            image_format="application/geo+json",
            is_download=True,
        ),
        expect(
            "/geoserver/topp/ogc/features/v1/collections/states/items/states.1?f=text/html",
            application="geoserver",
            service="OGCAPI-Features",
            request="Item",
            layers=["states"],
            workspace="topp",
            image_format="text/html",
            is_download=False,
        ),
        expect(
            "/geoserver/ogc/tiles/v1/collections/a:b/styles/s/map/tiles/EPSG:900913/EPSG:900913:3/2/4?f=image/png8",
            application="geoserver",
            service="OGCAPI-Tiles",
            request="Tile",
            layers=["a:b"],
            workspace="a",
            image_format="image/png8",
            tiled=True,
            is_download=False,
        ),
        expect(
            "/geonetwork/srv/fre/catalog.search",
            application="geonetwork",
            request="catalog.search",
            is_download=False,
        ),
        expect(
            f"/geonetwork/srv/api/records/{UUID}",
            application="geonetwork",
            request="Record",
            record_uuid=UUID,
            is_download=False,
        ),
        expect(
            f"/geonetwork/srv/api/0.1/records/{UUID}/formatters/xsl-view?output=pdf",
            application="geonetwork",
            request="Formatter",
            record_uuid=UUID,
            is_download=False,
        ),
        expect(
            f"/geonetwork/srv/api/records/{UUID}/attachments/plan%20d%27acc%C3%A8s.pdf",
            application="geonetwork",
            request="Attachment",
            record_uuid=UUID,
            is_download=True,
        ),
        expect(
            "/geonetwork/srv/api/search/records/_search?bucket=bucket",
            application="geonetwork",
            request="Search",
            is_download=False,
        ),
        expect("/geonetwork/srv/api/records/batchediting", application="geonetwork", is_download=False),
        expect(
            f"/geonetwork/srv/eng/csw?request=GetRecordById&service=CSW&id={UUID}&typeNames=gmd:MD_Metadata",
            application="geonetwork",
            service="CSW",
            request="GetRecordById",
            record_uuid=UUID,
            is_download=False,
        ),
        expect("/geonetwork/srv/fre/csw-inspire", application="geonetwork", service="CSW", is_download=False),
        expect(
            f"/geonetwork/srv/eng/resources.get?uuid={UUID}&fname=a.zip",
            application="geonetwork",
            request="resources.get",
            record_uuid=UUID,
            is_download=True,
        ),
        expect(
            "/cgi-bin/mapserv?map=/srv/maps/Relief.map&mode=map&layers=contours&service=WMS&request=GetMap&srs=EPSG:2056",
            application="mapserver",
            service="WMS",
            request="GetMap",
            layers=["contours"],
            workspace="Relief",
            crs="EPSG:2056",
            tiled=False,
            is_download=False,
        ),
        expect(
            "/mapserver/relief/ogcapi/collections/contours/items?f=json",
            application="mapserver",
            service="OGCAPI-Features",
            request="Items",
            layers=["contours"],
            workspace="relief",
            image_format="json",
            is_download=True,
        ),
        expect("/mapserver/relief/wfs", application="mapserver", service="WFS", workspace="relief", is_download=False),
        expect("/cgi-bin/luci", application="cgi-bin"),
        expect(
            "/mapproxy/service?LAYERS=osm&REQUEST=GetMap&SRS=EPSG:3857&FORMAT=image/png",
            application="mapproxy",
            service="WMS",
            request="GetMap",
            layers=["osm"],
            crs="EPSG:3857",
            image_format="image/png",
            tiled=False,
            is_download=False,
        ),
        expect(
            "/mapproxy/basemap/wmts/osm/webmercator/12/2100/1400.png",
            application="mapproxy",
            service="WMTS",
            request="GetTile",
            layers=["osm"],
            workspace="basemap",
            crs="webmercator",
            image_format="image/png",
            tiled=True,
            is_download=False,
        ),
        expect(
            "/mapproxy/tms/1.0.0/osm/webmercator/3/4/5.jpg",
            application="mapproxy",
            service="TMS",
            request="GetTile",
            layers=["osm"],
            crs="webmercator",
            image_format="image/jpeg",
            tiled=True,
            is_download=False,
        ),
        expect(
            "/mapproxy/tiles/osm/webmercator/3/4/5.jpeg",
            application="mapproxy",
            service="TMS",
            request="GetTile",
            layers=["osm"],
            crs="webmercator",
            image_format="image/jpeg",
            tiled=True,
            is_download=False,
        ),
        expect("/mapstore/rest/geostore/data/42", application="mapstore", request="GetResource", is_download=False),
        expect("/mapstore/pdf/8765.pdf.printout", application="mapstore", request="Print", is_download=True),
        expect("/mapstore/dist/themes/default.css", application="mapstore", is_download=False),
        expect(
            "/data/ogcapi/collections/communes-54/items?f=csv&limit=-1",
            application="data",
            service="OGCAPI-Features",
            request="Items",
            layers=["communes-54"],
            image_format="csv",
            is_download=True,
        ),
        expect(
            "/data/v2/ogc/features/collections/communes/items",
            application="data",
            service="OGCAPI-Features",
            request="Items",
            layers=["communes"],
            workspace="v2",
            is_download=False,
        ),
        expect(
            "/data/api/collections/communes/items?f=html",
            application="data",
            service="OGCAPI-Features",
            request="Items",
            layers=["communes"],
            image_format="html",
            is_download=False,
        ),
        expect("/data/ogcapi", application="data", service="OGCAPI", request="LandingPage", is_download=False),
        expect("/blog/2024/a.html?service=WMS", application="blog"),
        expect("/blog", application="/"),
        expect("/index.html", application="/"),
        expect("/", application="/"),
        expect("*", application="/"),
        expect("/.well-known/security.txt", application="/"),
        expect("/geoserverx/wms?request=GetMap", application="geoserverx"),
        expect("//geoserver;jsessionid=1F/web", application="geoserver", is_download=False),
        expect("http://maps.example.org/mapproxy/demo/", application="mapproxy", is_download=False),
    ],
)
def test_fields_of_a_request(url: str, fields: dict[str, Any]) -> None:
    assert described(url) == fields


def test_the_settings_name_applications_and_longer_prefixes_count() -> None:
    mapping = {
        "carto": applications.Application("maps", "geoserver"),
        "carto/old": applications.Application("old maps", "generic"),
    }
    assert described("/carto/wms", mapping)["application"] == "maps"
    assert described("/carto/wms", mapping)["service"] == "WMS"
    assert described("/carto/old/wms", mapping) == {"application": "old maps"}


def test_a_malformed_request_has_no_application() -> None:
    nothing = pl.Series([None], dtype=pl.String())
    frame = applications.describe(nothing, nothing, applications.DEFAULT_APPLICATIONS)
    assert frame.row(0) == (None,) * 12


def test_rows_of_many_applications_keep_their_order() -> None:
    urls = ["/mapproxy/wms?layers={}", "/a/{}", "/geoserver/wfs?typename={}", None, "/data/ogcapi/collections/{}"]
    logged = [url and url.format(number % 60) for number in range(100) for url in urls]
    path, query = split_target(pl.Series(logged))
    frame = applications.describe(path, query, applications.DEFAULT_APPLICATIONS)
    assert frame["application"].to_list() == ["mapproxy", "a", "geoserver", None, "data"] * 100
    layers = [[str(number % 60)] if application else None for number in range(100) for application in (1, 0, 1, 0, 1)]
    assert frame["layers"].to_list() == layers


@pytest.mark.parametrize("module", applications.MODULES)
def test_every_module_yields_the_same_columns(module: str) -> None:
    requests = ogc.read_parameters(pl.Series(["", "a=b"])).with_columns(path=pl.Series(["", "/x"]))
    for frame in (requests, requests.clear()):
        answer = ogc.finish(applications.MODULES[module](frame))
        assert dict(answer.schema) == dict(ogc.FIELDS)
        assert answer.height == frame.height
