"""The settings of the dataset `access_logs`: privacy, and which application answers below which path."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from lakehouse.datasets.access_logs.applications import DEFAULT_APPLICATIONS, MODULES, Application
from lakehouse.errors import SettingsError

CLIENT_IP_CHOICES = ("truncate", "keep", "hash", "drop")
USER_NAME_CHOICES = ("drop", "keep", "hash")

_KEYS = ("client_ip", "user_name", "applications", "sites")


@dataclass(frozen=True)
class AccessLogOptions:
    """Validated settings.

    Args:
        client_ip: `truncate` keeps the /24 (IPv4) or /48 (IPv6) network, `keep` the address, `hash` a keyed hash of
            it, `drop` nothing.
        user_name: `drop`, `keep` or `hash` (keyed, the same on every day).
        applications: path prefix without slashes at its ends (`geoserver`, `cgi-bin/mapserv`) to application, the
            defaults included.
        sites: site to its own mapping, which is complete: it already holds `applications`.
    """

    client_ip: str
    user_name: str
    applications: Mapping[str, Application]
    sites: Mapping[str, Mapping[str, Application]]

    def applications_of(self, site: str) -> Mapping[str, Application]:
        """The mapping that holds for a site."""
        return self.sites.get(site, self.applications)


def validate(options: Mapping[str, Any]) -> AccessLogOptions:
    """Check the dataset's section of the settings.

    Args:
        options: plain mapping with the optional keys `client_ip`, `user_name`, `applications` (path prefix to the
            name of a module, or to `{module, name}`) and `sites` (site to `{applications}`). Prefixes add to the
            defaults, and those of a site to both.

    Raises:
        SettingsError: a key is unknown or a value impossible; names both, what is allowed, and the nearest.
    """
    section = _mapping("access_logs", options)
    _check_keys("access_logs", section, _KEYS)
    applications = {**DEFAULT_APPLICATIONS, **_applications("applications", section.get("applications", {}))}
    sites: dict[str, Mapping[str, Application]] = {}
    for site, own in _mapping("sites", section.get("sites", {})).items():
        place = f"sites.{site}"
        _check_keys(place, _mapping(place, own), ("applications",))
        added = _applications(f"{place}.applications", own.get("applications", {}))
        sites[site] = MappingProxyType({**applications, **added})
    return AccessLogOptions(
        client_ip=_choice("client_ip", section.get("client_ip", CLIENT_IP_CHOICES[0]), CLIENT_IP_CHOICES),
        user_name=_choice("user_name", section.get("user_name", USER_NAME_CHOICES[0]), USER_NAME_CHOICES),
        applications=MappingProxyType(applications),
        sites=MappingProxyType(sites),
    )


def _applications(place: str, value: Any) -> dict[str, Application]:
    applications: dict[str, Application] = {}
    for key, target in _mapping(place, value).items():
        prefix = key.strip("/")
        if not prefix or "?" in prefix:
            raise SettingsError(
                f"The access_logs option '{place}' has the key {key!r}, which is no path prefix;"
                " write the first segment of the path, such as 'geoserver' or 'cgi-bin/mapserv'."
            )
        if isinstance(target, Mapping):
            _check_keys(f"{place}.{key}", target, ("module", "name"))
            module = _choice(f"{place}.{key}.module", target.get("module"), tuple(MODULES))
            name = target.get("name", prefix)
        else:
            module, name = _choice(f"{place}.{key}", target, tuple(MODULES)), prefix
        if not isinstance(name, str) or not name:
            raise SettingsError(f"The access_logs option '{place}.{key}.name' is {name!r}; write the application's name as text.")
        applications[prefix] = Application(name, module)
    return applications


def _mapping(place: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise SettingsError(f"The access_logs option '{place}' is {value!r}; it must be a table of names and values.")
    return value


def _check_keys(place: str, value: Mapping[str, Any], allowed: Iterable[str]) -> None:
    names = tuple(allowed)
    for key in value:
        if key not in names:
            raise SettingsError(f"The access_logs option '{place}' has the unknown key {key!r}; {_allowed(key, names)}")


def _choice(place: str, value: Any, allowed: tuple[str, ...]) -> str:
    if isinstance(value, str) and value in allowed:
        return value
    raise SettingsError(f"The access_logs option '{place}' is {value!r}; {_allowed(value, allowed)}")


def _allowed(value: Any, allowed: tuple[str, ...]) -> str:
    near = get_close_matches(str(value), allowed, n=1)
    hint = f" (did you mean {near[0]!r}?)" if near else ""
    return f"allowed: {', '.join(allowed)}{hint}."
