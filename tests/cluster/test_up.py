"""`make up` and `make down` as a person types them in a fresh clone, and what `make up` tells to type next."""

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.cluster.clusters import another_cluster
from tests.cluster.node.node import Node
from tests.cluster.node.places import Places, places
from tests.cluster.tools import PROJECT
from tests.cluster.traces import of_the_machine, traces

pytestmark = [pytest.mark.cluster, pytest.mark.long]


def run(folder: Path, data: Path, *command: str) -> str:
    """What a command prints, which must succeed, with the cluster's data in a folder of the test's."""
    environment = {**os.environ, "XDG_DATA_HOME": str(data), "LAKEHOUSE_CACHE": str(places().cache)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture
def data() -> Iterator[Path]:
    """A folder whose path is short: the node has sockets in it."""
    with TemporaryDirectory(prefix="up-") as folder:
        yield Path(folder)


def test_a_fresh_clone(tmp_path: Path, data: Path) -> None:
    if why := another_cluster():
        pytest.skip(why)
    clone = tmp_path / "clone"
    node = Node(Places(places().cache, data / "lakehouse" / "cluster"))
    before = of_the_machine()
    run(tmp_path, data, "git", "clone", "--quiet", str(PROJECT), str(clone))
    try:
        said = run(clone, data, "make", "up")
        told = "\n".join(re.findall(r"^ {4}(.*)", said, re.MULTILINE))
        assert "helm --namespace lakehouse test lakehouse" in told
        answers = run(clone, data, "bash", "-ec", told)
        assert "Phase:          Succeeded" in answers
        assert '"helm_test"' in answers  # of SHOW SCHEMAS: where the test has loaded to
        assert traces(node)["processes"]

        run(clone, data, "make", "down")
        assert traces(node) == {"processes": set(), "mounts": [], "control groups": []}
        assert of_the_machine() == before
        assert any(node.places.volumes.iterdir())

        # The data are kept: what was loaded before is there.
        run(clone, data, "make", "up")
        script = "\n".join(line for line in told.splitlines() if " test lakehouse" not in line)
        counting = script.replace("SHOW SCHEMAS FROM iceberg", "SELECT count(*) FROM iceberg.helm_test.access_logs")
        assert '"1000"' in run(clone, data, "bash", "-ec", counting)
    finally:
        run(clone, data, "make", "down", "DOWN_ARGS=--remove")
    assert traces(node) == {"processes": set(), "mounts": [], "control groups": []}
    assert of_the_machine() == before
    assert not node.places.state.exists()
