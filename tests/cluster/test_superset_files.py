"""docs/deploy/superset.md, typed as it stands: what differs between the files and the Superset of a release, and the way back."""

import shutil
from pathlib import Path

import pytest

from tests.cluster.test_backup import blocks, type_in
from tests.cluster.test_superset import dashboards
from tests.cluster.tools import PROJECT, Release
from tests.support.superset import Api

pytestmark = pytest.mark.cluster
CHECK, EXPORT = blocks("What was changed in the browser", PROJECT / "docs" / "deploy" / "superset.md")


def test_nothing_differs_after_the_installation_and_a_new_title_comes_back_alone(release: Release, tmp_path: Path) -> None:
    original, assets = PROJECT / "superset" / "assets", tmp_path / "superset" / "assets"
    shutil.copytree(original, assets)
    with dashboards(release) as address:
        assert type_in(release, tmp_path, CHECK) == "The files and Superset are the same.\n"
        admin = Api(address, "admin", release.secret("superset", "admin-password"))
        charts = admin.get("/api/v1/chart/?q=(page_size:100)").json()["result"]
        (hits,) = (chart["id"] for chart in charts if chart["slice_name"] == "Hits")
        assert admin.put(f"/api/v1/chart/{hits}", {"slice_name": "All hits"}).status_code == 200
        try:
            type_in(release, tmp_path, EXPORT)
        finally:
            assert admin.put(f"/api/v1/chart/{hits}", {"slice_name": "Hits"}).status_code == 200
    names = [path.relative_to(original) for path in original.rglob("*.yaml")]
    (written,) = (name for name in names if (assets / name).read_text() != (original / name).read_text())
    assert written == Path("charts/web_traffic/hits.yaml")
    before, after = ((folder / written).read_text().splitlines() for folder in (original, assets))
    assert [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]] == [
        ("slice_name: Hits", "slice_name: All hits")
    ]
