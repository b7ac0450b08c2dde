"""docs/deploy/backup.md, typed as it stands: all that was backed up comes back after all of it was deleted."""

import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.conftest import SMALL, landing_client, restricted_namespace
from tests.cluster.loads import put_log, rows_of
from tests.cluster.tables import SOURCES
from tests.cluster.test_superset import without_samples
from tests.cluster.test_upgrades import kept
from tests.cluster.tools import CHARTS, PROJECT, Cluster, Release, all_ready, build_dependencies, until
from tests.support.machine import free_port

pytestmark = [pytest.mark.cluster, pytest.mark.long]
PAGE = PROJECT / "docs" / "deploy" / "backup.md"
LINES = 50


def blocks(section: str, page: Path = PAGE) -> list[str]:
    """The commands of a section of a page, as they stand there."""
    text = page.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].partition("\n## ")[0]
    return re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def type_in(release: Release, folder: Path, *commands: str) -> str:
    """What commands of a page print in a shell, in another namespace and by another port than the page's."""
    # A command that fails must not leave a forwarded port behind.
    script = "\n".join(("trap 'kill $(jobs -p) 2> /dev/null || true' EXIT", *commands))
    script = script.replace("namespace lakehouse", f"namespace {release.namespace}").replace("19000", str(free_port()))
    cluster = release.cluster
    programs = (str(Path(program).parent) for program in (cluster.kubectl_path, cluster.helm_path))
    environment = {**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": ":".join((*programs, os.environ["PATH"]))}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{script}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def test_everything_comes_back(cluster: Cluster, tmp_path: Path) -> None:
    build_dependencies(cluster)
    (tmp_path / "helm").symlink_to(CHARTS)
    given: dict[str, Any] = {**SMALL, "loader": {**SMALL["loader"], "sources": SOURCES}}
    (tmp_path / "given.json").write_text(json.dumps(given), encoding="utf-8")
    with restricted_namespace(cluster, "backup") as release:
        chart = str(CHARTS / "lakehouse")
        cluster.helm("install", release.name, chart, "--namespace", release.namespace, "--values", str(tmp_path / "given.json"))
        until(lambda: all_ready(release), "all pods ready")
        with landing_client(release) as landing:
            put_log(landing, "web/before.log", 0, LINES)
        assert " loaded " in release.run_source("web", "before")
        release.trino("CREATE TABLE notes AS SELECT 1 AS id, 'kept' AS word")
        with without_samples(release) as superset:
            superset.post("/api/v1/dashboard/", {"dashboard_title": "Ours", "slug": "ours"})
            slugs = superset.dashboards()
        assert "ours" in slugs
        secrets = kept(release)

        databases, objects = blocks("Back up")[:2], blocks("Back up")[2:]
        type_in(release, tmp_path, *databases)
        # Loads go on between the two: the objects hold more than the databases know.
        with landing_client(release) as landing:
            put_log(landing, "web/meanwhile.log", LINES, LINES)
        assert " loaded " in release.run_source("web", "meanwhile")
        release.trino("INSERT INTO notes VALUES (2, 'lost')")
        type_in(release, tmp_path, *objects)

        cluster.kubectl("delete", "namespace", release.namespace)
        type_in(release, tmp_path, *blocks("Restore"))
        until(lambda: all_ready(release), "all pods ready")
        assert kept(release) == secrets
        assert rows_of(release, "web") == [LINES, LINES, LINES]
        assert release.trino("SELECT id, word FROM notes") == [[1, "kept"]]
        with without_samples(release) as superset:
            assert superset.dashboards() == slugs

        said = release.run_source("web", "again")
        assert " unchanged " in said
        assert " loaded " in said
        assert rows_of(release, "web") == [2 * LINES, 2 * LINES, 2 * LINES]
        release.trino("INSERT INTO notes VALUES (3, 'new')")
        assert release.trino("SELECT count(*) FROM notes") == [[2]]
