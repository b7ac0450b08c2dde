"""The settings of access logs, and what is said of wrong ones."""

from typing import Any

import pytest

from lakehouse.datasets.access_logs.applications import DEFAULT_APPLICATIONS, Application
from lakehouse.datasets.access_logs.options import validate
from lakehouse.errors import SettingsError


def test_the_defaults_are_safe() -> None:
    options = validate({})
    assert (options.client_ip, options.user_name) == ("truncate", "drop")
    assert options.applications_of("any") == DEFAULT_APPLICATIONS


def test_a_site_adds_to_the_mapping_of_all() -> None:
    options = validate(
        {
            "applications": {"carto": "geoserver", "/cgi-bin/qgis/": {"module": "mapserver", "name": "QGIS Server"}},
            "sites": {"north": {"applications": {"carto": {"module": "mapproxy"}}}, "south": {}},
        }
    )
    assert options.applications_of("south")["carto"] == Application("carto", "geoserver")
    assert options.applications_of("elsewhere")["cgi-bin/qgis"] == Application("QGIS Server", "mapserver")
    north = options.applications_of("north")
    assert north["carto"] == Application("carto", "mapproxy")
    assert north["cgi-bin/qgis"].name == "QGIS Server"
    assert north["geoserver"] == DEFAULT_APPLICATIONS["geoserver"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"client_ip": "truncat"}, r"'client_ip' is 'truncat'; allowed: .*hash.*did you mean 'truncate'\?"),
        ({"client_ip": True}, "'client_ip' is True; allowed: truncate"),
        ({"user_name": "truncate"}, "'user_name' is 'truncate'; allowed: drop, keep, hash"),
        ({"user_nam": "keep"}, r"unknown key 'user_nam'; allowed: .*did you mean 'user_name'\?"),
        ({"applications": {"carto": "geosever"}}, r"'applications.carto' is 'geosever'; .*did you mean 'geoserver'\?"),
        ({"applications": {"carto": {"name": "x"}}}, "'applications.carto.module' is None; allowed: geoserver"),
        ({"applications": {"carto": {"module": "generic", "nam": "x"}}}, r"unknown key 'nam'; .*did you mean 'name'\?"),
        ({"applications": {"carto": {"module": "generic", "name": ""}}}, "'applications.carto.name' is ''"),
        ({"applications": {"/": "generic"}}, "the key '/', which is no path prefix"),
        ({"applications": ["carto"]}, r"'applications' is \['carto'\]; it must be a table"),
        ({"sites": {"north": {"client_ip": "keep"}}}, "'sites.north' has the unknown key 'client_ip'"),
        ({"sites": {"north": "geoserver"}}, "'sites.north' is 'geoserver'; it must be a table"),
        ({"sites": {"north": {"applications": {"a": 1}}}}, "'sites.north.applications.a' is 1; allowed"),
    ],
)
def test_a_wrong_setting_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        validate(options)
