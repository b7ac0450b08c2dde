"""Settings: order, provenance, masks, and one sentence for each mistake."""

from pathlib import Path

import pytest

from lakehouse.errors import SettingsError
from lakehouse.settings import SETTINGS, load_settings


def test_the_environment_wins_over_the_file_and_the_file_over_defaults(tmp_path: Path) -> None:
    file = tmp_path / "lakehouse.toml"
    file.write_text('zone = "Europe/Paris"\nmax_rejects = 0.1\n[s3]\nregion = "fr"\n[dataset.access_logs]\nclient_ip = "drop"\n')
    settings = load_settings({"HOME": str(tmp_path), "LAKEHOUSE_MAX_REJECTS": "0.2", "AWS_REGION": "aws"}, file)
    assert (settings["zone"], settings["max_rejects"], settings["s3.region"]) == ("Europe/Paris", 0.2, "fr")
    assert settings.sources["zone"] == str(file)
    assert settings.sources["max_rejects"] == "LAKEHOUSE_MAX_REJECTS"
    assert settings.sources["namespace"] == "default"
    assert settings.dataset_options == {"access_logs": {"client_ip": "drop"}}


def test_aws_variables_count_where_nothing_else_is_said(tmp_path: Path) -> None:
    environment = {"HOME": str(tmp_path), "AWS_ENDPOINT_URL": "http://all", "AWS_ENDPOINT_URL_S3": "http://s3"}
    assert load_settings(environment)["s3.endpoint"] == "http://s3"
    assert load_settings({**environment, "LAKEHOUSE_S3_ENDPOINT": "http://own"})["s3.endpoint"] == "http://own"


def test_secrets_are_masked(tmp_path: Path) -> None:
    environment = {
        "HOME": str(tmp_path),
        "LAKEHOUSE_KEY": "very-secret-and-long",
        "LAKEHOUSE_CATALOG_URI": "postgresql://u:pw@h/d",
    }
    shown = {name: value for name, value, _ in load_settings(environment).masked()}
    assert shown["key"] == shown["catalog.uri"] == "********"
    assert "secret" not in str(shown.values())
    assert all(setting.secret for setting in SETTINGS if "secret" in setting.name or "token" in setting.name)


def test_folders_are_shown_as_they_are_used(tmp_path: Path) -> None:
    shown = {name: value for name, value, _ in load_settings({"HOME": "/root", "LAKEHOUSE_HOME": str(tmp_path)}).masked()}
    assert [shown[name] for name in ("home", "warehouse", "datasets")] == [
        str(tmp_path), f"{tmp_path}/warehouse", f"{tmp_path}/datasets"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("environment", "content", "message"),
    [
        ({"LAKEHOUSE_HOEM": "x"}, "", "LAKEHOUSE_HOEM: did you mean LAKEHOUSE_HOME"),
        ({}, "hoem = 'x'", "unknown setting hoem: did you mean home"),
        ({}, "zone = 'Mars/Olympus'", "zone is 'Mars/Olympus', which is no IANA time zone"),
        ({"LAKEHOUSE_MAX_REJECTS": "lots"}, "", "LAKEHOUSE_MAX_REJECTS: 'lots' is not a number"),
        ({"LAKEHOUSE_MAX_REJECTS": "2"}, "", "allowed is 0 to 1"),
        ({"LAKEHOUSE_KEY": "short"}, "", "key is shorter than 16"),
        ({"LAKEHOUSE_S3_ACCESS_KEY_ID": "x"}, "", "go together"),
        ({"LAKEHOUSE_CATALOG_TYPE": "oracle"}, "", "allowed are sqlite"),
        ({"LAKEHOUSE_CATALOG_TYPE": "hive"}, "", "hive needs catalog.uri"),
        ({}, "[[", "cannot be read as TOML"),
        ({"LAKEHOUSE_CONFIG": "/nowhere.toml"}, None, "which is not a file"),
    ],
)
def test_each_mistake_is_one_sentence(tmp_path: Path, environment: dict[str, str], content: str | None, message: str) -> None:
    file = tmp_path / "lakehouse.toml"
    file.write_text(content or "")
    with pytest.raises(SettingsError) as caught:
        load_settings({"HOME": str(tmp_path), **environment}, file if content is not None else None)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
