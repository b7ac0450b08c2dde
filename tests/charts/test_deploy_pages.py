"""What docs/deploy tells of the charts: its values are rendered, and what it says to follow from them does."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.charts.conftest import PROJECT, Helm, of_kind

PAGES = sorted((PROJECT / "docs" / "deploy").glob("*.md"))


def examples() -> list[Any]:
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in re.finditer(r"^```yaml[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(pytest.param(match[1], id=f"{page.name}, line {line}"))
    return found


@pytest.mark.parametrize("text", examples())
def test_the_values_of_a_page(helm: Helm, tmp_path: Path, text: str) -> None:
    (tmp_path / "values.yaml").write_text(text, encoding="utf-8")
    assert helm.rendered(values=tmp_path / "values.yaml")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_charts_are_put_together_before_they_are_installed(page: Path) -> None:
    """helm takes the copies of the parts that it finds, however old they are."""
    text = page.read_text(encoding="utf-8")
    if re.search(r"helm (install|upgrade) lakehouse helm/lakehouse", text):
        assert "helm dependency update" in text or "](index.md#with-helm)" in text


def test_the_memory_that_follows(helm: Helm) -> None:
    page = (PROJECT / "docs" / "deploy" / "production.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    for memory, heap, query in rows:
        objects = helm.rendered("trino", {"worker": {"memoryMegabytes": int(memory)}})
        (worker,) = [item["data"] for item in of_kind(objects, "ConfigMap") if item["metadata"]["name"].endswith("-worker")]
        assert f"-Xmx{heap}M" in worker["jvm.config"]
        assert f"query.max-memory-per-node={query}MB" in worker["config.properties"]
