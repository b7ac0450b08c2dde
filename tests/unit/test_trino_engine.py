"""What needs no Trino of its engine and its views; what needs one is in tests/cluster/test_views.py."""

import re
from pathlib import Path

import pyarrow as pa
import pytest

from lakehouse.cli import main
from lakehouse.datasets import BUILT_IN, get_dataset
from lakehouse.engines import trino as engine
from lakehouse.errors import EngineUnavailableError, QueryError, SettingsError
from lakehouse.settings import load_settings
from lakehouse.views import trino_sql
from tests.support.machine import free_port


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("bigint", pa.int64()),
        ("varchar(3)", pa.string()),
        ("timestamp(6) with time zone", pa.timestamp("us", "UTC")),
        ("timestamp(3)", pa.timestamp("us")),
        ("decimal(12, 2)", pa.decimal128(12, 2)),
        ("array(varchar)", pa.list_(pa.string())),
        ("array(timestamp(6) with time zone)", pa.list_(pa.timestamp("us", "UTC"))),
    ],
)
def test_types(name: str, kind: pa.DataType) -> None:
    assert engine.arrow_type(name) == kind


def test_a_type_that_no_dataset_has() -> None:
    with pytest.raises(QueryError, match="a column of type hyperloglog"):
        engine.arrow_type("hyperloglog")


def test_a_star_of_a_view_is_written_out_without_private_columns() -> None:
    dataset = get_dataset("api_logs", Path())
    (view,) = [view for view in dataset.views if view.name == "api_logs_last_20_days"]
    sql = trino_sql(view.sql, dataset)
    assert '"endpoint"' in sql
    assert "query_text" not in sql
    assert "*" not in sql


@pytest.mark.parametrize("name", BUILT_IN)
def test_no_view_reads_a_private_column(name: str) -> None:
    dataset = get_dataset(name, Path())
    private = {column.name for column in dataset.columns if column.private}
    for view in dataset.views:
        assert not private & set(re.findall(r"\w+", trino_sql(view.sql, dataset))), view.name


def test_no_trino_is_set(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAKEHOUSE_HOME", str(tmp_path))
    assert main(["views"]) == 2
    assert "set trino.uri and trino.user" in capsys.readouterr().err


def test_nothing_answers() -> None:
    port = free_port()
    settings = load_settings({"LAKEHOUSE_TRINO_URI": f"http://127.0.0.1:{port}", "LAKEHOUSE_TRINO_USER": "writer"})
    with pytest.raises(EngineUnavailableError, match=f"Trino at http://127.0.0.1:{port} does not answer"):
        engine.run(engine.connect(settings), "SELECT 1")


@pytest.mark.parametrize(
    ("uri", "said"),
    [("trino:8443", "begin it with https://"), ("http://trino:8080", "a password needs https://")],
)
def test_addresses_that_cannot_be(uri: str, said: str) -> None:
    with pytest.raises(SettingsError, match=said):
        load_settings({"LAKEHOUSE_TRINO_URI": uri, "LAKEHOUSE_TRINO_PASSWORD": "secret"})
