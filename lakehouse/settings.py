"""Settings: one typed object from lakehouse.toml and LAKEHOUSE_* variables, and where each value came from.

Order, later wins: defaults, the file, the environment. The file is the one named by LAKEHOUSE_CONFIG, else
./lakehouse.toml, else lakehouse.toml in the user's configuration folder.
"""

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from lakehouse.errors import SettingsError

ENVIRONMENT_PREFIX = "LAKEHOUSE_"


@dataclass(frozen=True)
class Setting:
    """One setting: dotted name, type, default, one sentence."""

    name: str
    type: type
    default: Any
    doc: str
    secret: bool = False
    choices: tuple[str, ...] = ()
    aws_variables: tuple[str, ...] = ()
    pyiceberg_property: str = ""

    @property
    def variable(self) -> str:
        """Environment variable: LAKEHOUSE_ and the name in capitals, dots as underscores."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace(".", "_")


SETTINGS: tuple[Setting, ...] = (
    Setting("home", str, "~/lakehouse", "Folder of the embedded lakehouse: catalog, tables, key, caches."),
    Setting(
        "warehouse",
        str,
        "",
        "Folder or s3:// address of the tables; default: `warehouse` in home.",
        pyiceberg_property="warehouse",
    ),
    Setting("namespace", str, "lakehouse", "Iceberg namespace (schema) of the tables."),
    Setting("datasets", str, "", "Folder with own datasets, one TOML file each; default: `datasets` in home."),
    Setting("input_zone", str, "UTC", "Time zone of timestamps in logs that carry none, as an IANA name."),
    Setting(
        "zone",
        str,
        "UTC",
        "Time zone of days and months in the daily and monthly views, as an IANA name; the same for all who load.",
    ),
    Setting("max_rejects", float, 0.05, "Share of lines (of at least 100) that may be unreadable before a load fails."),
    Setting(
        "key",
        str,
        "",
        "Secret of keyed hashes (visitor), 16 characters or more; default: a generated file in home.",
        True,
    ),
    Setting("commit_timeout", float, 300.0, "Seconds a load goes on trying to commit against other writers."),
    Setting("catalog.type", str, "sqlite", "Iceberg catalog.", choices=("sqlite", "postgresql", "hive", "rest")),
    Setting("catalog.name", str, "lakehouse", "Name of the catalog, also in pyiceberg's own configuration file."),
    Setting("catalog.uri", str, "", "Address of the catalog; default for sqlite: catalog.db in home.", True),
    Setting(
        "s3.endpoint",
        str,
        "",
        "Address of the S3 server; empty: AWS.",
        aws_variables=("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
        pyiceberg_property="s3.endpoint",
    ),
    Setting(
        "s3.region",
        str,
        "",
        "Region; empty: of the AWS profile.",
        aws_variables=("AWS_REGION", "AWS_DEFAULT_REGION"),
        pyiceberg_property="s3.region",
    ),
    Setting("s3.path_style", bool, True, "Bucket in the path (MinIO and most servers) instead of in the host name."),
    Setting(
        "s3.access_key_id",
        str,
        "",
        "Access key; empty: the standard AWS credential chain.",
        pyiceberg_property="s3.access-key-id",
    ),
    Setting(
        "s3.secret_access_key",
        str,
        "",
        "Secret key; empty: the standard AWS credential chain.",
        True,
        pyiceberg_property="s3.secret-access-key",
    ),
    Setting(
        "s3.session_token",
        str,
        "",
        "Session token; empty: the standard AWS credential chain.",
        True,
        pyiceberg_property="s3.session-token",
    ),
    Setting(
        "s3.ca_file",
        str,
        "",
        "PEM file with the certificate authority of the endpoint.",
        aws_variables=("AWS_CA_BUNDLE",),
    ),
    Setting("trino.uri", str, "", "Address of Trino, such as https://trino.example.org:8443, for `lakehouse views`."),
    Setting("trino.user", str, "", "User of Trino that may make views."),
    Setting("trino.password", str, "", "Password of that user.", True),
    Setting("trino.catalog", str, "iceberg", "Trino's name for the Iceberg catalog."),
    Setting("trino.ca_file", str, "", "PEM file with the certificate authority of Trino."),
)
_BY_NAME = {setting.name: setting for setting in SETTINGS}
_TYPE_NAMES = {str: 'text (in quotes: "...")', float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Settings:
    """Settings in force.

    Args:
        values: by dotted name, all of SETTINGS.
        sources: where each value came from: "default", a variable's name, or file and key.
        dataset_options: per dataset, its own table of the file, validated by the dataset.
    """

    values: Mapping[str, Any]
    sources: Mapping[str, str]
    dataset_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    @property
    def home(self) -> Path:
        """Folder of the embedded lakehouse, absolute."""
        return Path(self["home"]).expanduser().absolute()

    @property
    def warehouse(self) -> str:
        """Address of the tables: an absolute folder or an s3:// address, without trailing slash."""
        value = str(self["warehouse"]).rstrip("/")
        if not value:
            return str(self.home / "warehouse")
        return value if "://" in value else str(Path(value).expanduser().absolute())

    @property
    def datasets_folder(self) -> Path:
        """Folder with own datasets."""
        return Path(self["datasets"]).expanduser().absolute() if self["datasets"] else self.home / "datasets"

    def masked(self) -> list[tuple[str, str, str]]:
        """Name, value and source of every setting, secrets masked, folders as they are used."""
        folders = {"home": self.home, "warehouse": self.warehouse, "datasets": self.datasets_folder}
        rows = [
            (name, _mask(value) if _BY_NAME[name].secret else str(folders.get(name, value)), self.sources[name])
            for name, value in self.values.items()
        ]
        for dataset, options in self.dataset_options.items():
            for key, value in options.items():
                rows.append((f"dataset.{dataset}.{key}", str(value), self.sources[f"dataset.{dataset}"]))
        return rows


def load_settings(environment: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read the settings in force.

    Args:
        environment: default: os.environ.
        file: default: found as the module says.

    Raises:
        SettingsError: unknown or impossible setting, unreadable file; names the key and the place.
    """
    environment = os.environ if environment is None else environment
    values: dict[str, Any] = {setting.name: setting.default for setting in SETTINGS}
    sources: dict[str, str] = dict.fromkeys(values, "default")
    options: dict[str, Mapping[str, Any]] = {}
    path = file or _find_file(environment)
    if path is not None:
        for name, value in _flatten(_read_toml(path)):
            if name.startswith("dataset."):
                _, dataset, key = name.split(".", 2)
                options[dataset] = {**options.get(dataset, {}), key: value}
                sources[f"dataset.{dataset}"] = str(path)
                continue
            values[name] = _convert(_known(name, str(path)), value, f"{path}, {name}")
            sources[name] = str(path)
    for setting in SETTINGS:
        for variable in setting.aws_variables:
            if environment.get(variable) and sources[setting.name] == "default":
                values[setting.name], sources[setting.name] = environment[variable], variable
        if setting.variable in environment:
            values[setting.name] = _convert(setting, environment[setting.variable], setting.variable)
            sources[setting.name] = setting.variable
    _apply_pyiceberg(values, sources, environment)
    _check_unknown_variables(environment)
    _check_values(values, sources)
    settings = Settings(values, sources, options)
    _check_datasets(settings)
    return settings


def _apply_pyiceberg(values: dict[str, Any], sources: dict[str, str], environment: Mapping[str, str]) -> None:
    """Take what pyiceberg's own configuration says of the same catalog and the settings do not.

    pyiceberg itself uses it for the table's files only, not for inputs, nor for DuckDB.
    """
    folders = [environment.get("PYICEBERG_HOME"), environment.get("HOME"), os.curdir]
    described = any(folder and (Path(folder) / ".pyiceberg.yaml").is_file() for folder in folders)
    if not described and not any(variable.startswith("PYICEBERG_CATALOG__") for variable in environment):
        return
    from pyiceberg.utils.config import Config

    properties = Config().get_catalog_config(values["catalog.name"]) or {}
    for setting in SETTINGS:
        value = properties.get(setting.pyiceberg_property)
        if not isinstance(value, str) or sources[setting.name] not in ("default", *setting.aws_variables):
            continue
        # The warehouse of a REST catalog may be a mere name.
        if setting.name != "warehouse" or value.startswith("s3"):
            values[setting.name], sources[setting.name] = value, f"pyiceberg's catalog {values['catalog.name']}"


def _find_file(environment: Mapping[str, str]) -> Path | None:
    if named := environment.get("LAKEHOUSE_CONFIG"):
        if not Path(named).is_file():
            raise SettingsError(f"LAKEHOUSE_CONFIG names {named}, which is not a file: correct or unset it")
        return Path(named)
    user_folder = environment.get("XDG_CONFIG_HOME") or str(Path(environment.get("HOME", "~")).expanduser() / ".config")
    candidates = (Path("lakehouse.toml"), Path(user_folder) / "lakehouse" / "lakehouse.toml")
    return next((candidate for candidate in candidates if candidate.is_file()), None)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path} cannot be read as TOML: {error}") from error


def _flatten(table: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Dotted names of a file's settings; below `dataset.<name>` the values stay as they are."""
    flat: list[tuple[str, Any]] = []
    for key, value in table.items():
        if key == "dataset" and isinstance(value, dict):
            flat += [
                (f"dataset.{dataset}.{option}", content)
                for dataset, table_ in value.items()
                for option, content in _options_of(dataset, table_).items()
            ]
        elif isinstance(value, dict):
            flat += [(f"{key}.{name}", content) for name, content in value.items()]
        else:
            flat.append((key, value))
    return flat


def _options_of(dataset: str, table: Any) -> Mapping[str, Any]:
    if isinstance(table, dict):
        return table
    raise SettingsError(f"dataset.{dataset} is {table!r}: options of a dataset stand in a section [dataset.NAME]")


def _known(name: str, place: str) -> Setting:
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = difflib.get_close_matches(name, _BY_NAME, 1)
    hint = (
        f"did you mean {near[0]}?" if near else f"known are {', '.join(_BY_NAME)}; options of a dataset stand in [dataset.NAME]"
    )
    raise SettingsError(f"{place}: unknown setting {name}: {hint}")


def _convert(setting: Setting, value: Any, place: str) -> Any:
    try:
        if setting.type is bool and isinstance(value, str):
            return {"true": True, "false": False, "1": True, "0": False}[value.lower()]
        if setting.type is float and not isinstance(value, bool):
            return float(value)
        if isinstance(value, setting.type):
            return value
    except (KeyError, ValueError):
        pass
    shown = "a secret" if setting.secret else repr(value)
    raise SettingsError(f"{place}: {shown} is not {_TYPE_NAMES[setting.type]}")


def _check_unknown_variables(environment: Mapping[str, str]) -> None:
    known = {setting.variable for setting in SETTINGS} | {"LAKEHOUSE_CONFIG", "LAKEHOUSE_CACHE", "LAKEHOUSE_TEST_DATA"}
    for variable in environment:
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known:
            near = difflib.get_close_matches(variable, known, 1)
            hint = f": did you mean {near[0]}?" if near else ""
            raise SettingsError(f"unknown variable {variable}{hint}")


def _check_values(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    for setting in SETTINGS:
        value, place = values[setting.name], sources[setting.name]
        if setting.choices and value not in setting.choices:
            raise SettingsError(f"{place}: {setting.name} is {value!r}, allowed are {', '.join(setting.choices)}")
    for name in ("input_zone", "zone"):
        try:
            ZoneInfo(values[name])
        except (KeyError, ValueError, OSError) as error:
            raise SettingsError(
                f"{sources[name]}: {name} is {values[name]!r}, which is no IANA time zone such as Europe/Paris"
            ) from error
    if not values["home"]:
        raise SettingsError(f"{sources['home']}: home is empty: name a folder, or leave it out for ~/lakehouse")
    scheme, separator, _ = values["warehouse"].partition("://")
    if separator and scheme not in ("s3", "s3a", "file"):
        raise SettingsError(f"{sources['warehouse']}: warehouse is {values['warehouse']}: only folders and s3:// are known")
    if not values["commit_timeout"] > 0:
        raise SettingsError(f"{sources['commit_timeout']}: commit_timeout is {values['commit_timeout']}, allowed is more than 0")
    if not 0 <= values["max_rejects"] <= 1:
        raise SettingsError(f"{sources['max_rejects']}: max_rejects is {values['max_rejects']}, allowed is 0 to 1")
    if values["key"] and len(values["key"]) < 16:
        raise SettingsError(f"{sources['key']}: key is shorter than 16 characters")
    if values["catalog.type"] != "sqlite" and not values["catalog.uri"] and sources["catalog.type"] != "default":
        raise SettingsError(f"{sources['catalog.type']}: catalog.type {values['catalog.type']} needs catalog.uri")
    for name in ("s3.ca_file", "trino.ca_file"):
        if values[name] and not Path(values[name]).exists():
            raise SettingsError(f"{sources[name]}: {name} is {values[name]}, and there is no such file")
    if values["trino.uri"] and not values["trino.uri"].startswith(("http://", "https://")):
        raise SettingsError(f"{sources['trino.uri']}: trino.uri is {values['trino.uri']!r}: begin it with https:// (or http://)")
    if values["trino.password"] and values["trino.uri"].startswith("http://"):
        raise SettingsError(f"{sources['trino.uri']}: trino.uri begins with http://, and a password needs https://")
    if bool(values["s3.access_key_id"]) != bool(values["s3.secret_access_key"]):
        raise SettingsError("s3.access_key_id and s3.secret_access_key go together: set both, or none for the AWS chain")


def _check_datasets(settings: Settings) -> None:
    """A misspelt section must not leave a privacy option without effect."""
    if not settings.dataset_options:
        return
    from lakehouse.datasets import dataset_names

    known = dataset_names(settings.datasets_folder)
    for name in settings.dataset_options:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            place = settings.sources[f"dataset.{name}"]
            raise SettingsError(f"{place}: section [dataset.{name}] is of an unknown dataset: {hint}")


def _mask(value: Any) -> str:
    return "********" if value else ""
