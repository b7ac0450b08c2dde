"""Which cluster `make up` takes, and which the tests take. Docker and kind are stand-ins: programs that note their calls."""

from contextlib import nullcontext
from pathlib import Path

import pytest

import images
from tests.cluster import clusters
from tests.cluster.kind import KindError
from tests.cluster.node.places import Places
from tests.cluster.tools import Cluster

NAME, TESTS = "lakehouse", "lakehouse-tests"
KIND = """case "$*" in
    "get clusters") cat "$STATE/cluster" 2>/dev/null || true ;;
    create*) echo "$4" > "$STATE/cluster"; : > "$6" ;;
    delete*) rm "$STATE/cluster" ;;
esac"""
KUBECONFIG_OF_ANOTHER = "/somewhere/kubeconfig"


class Machine:
    """A machine with the programs that a test gives it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._programs = folder / "programs"
        self._programs.mkdir()
        self._called = folder / "called"
        self._called.touch()
        self.place = Places(folder / "cache", folder / "data")
        self.own_node = Cluster(self.place.kubeconfig, "kubectl", "helm")
        patch.setenv("PATH", f"{self._programs}:/usr/bin:/bin")
        patch.setenv("STATE", str(folder))
        patch.delenv("KUBECONFIG", raising=False)
        patch.setattr(images, "archive", lambda name: Path(f"{name}.tar"))
        patch.setattr(clusters, "program", lambda wanted: Path(wanted.name))
        patch.setattr(clusters, "start_cluster", lambda node: self.own_node)

    def install(self, name: str, script: str = "") -> None:
        """Put a program into PATH, or another in its place."""
        program = self._programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {self._called}\n{script}\n', encoding="utf-8")
        program.chmod(0o755)

    def called(self) -> list[str]:
        """How the programs were called since this was asked last, but for questions."""
        lines = self._called.read_text(encoding="utf-8").splitlines()
        self._called.write_text("", encoding="utf-8")
        return [line for line in lines if line not in ("docker info", "kind get clusters")]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with kind, and Docker, which runs."""
    machine = Machine(tmp_path, monkeypatch)
    for name, script in (("docker", ""), ("kubectl", ""), ("kind", KIND)):
        machine.install(name, script)
    return machine


def test_the_cluster_that_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KUBECONFIG", KUBECONFIG_OF_ANOTHER)
    assert str(clusters.lasting_cluster(machine.place).kubeconfig) == KUBECONFIG_OF_ANOTHER
    assert capsys.readouterr().out == f"The cluster: the one that KUBECONFIG names ({KUBECONFIG_OF_ANOTHER})\n"
    assert machine.called() == []


def test_kind_where_docker_runs(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    cluster = clusters.lasting_cluster(machine.place)
    assert capsys.readouterr().out == "The cluster: kind's, as kind is here and Docker runs\n"
    assert cluster.kubeconfig == machine.place.home / "kind.kubeconfig"
    created, *loaded = machine.called()
    assert created.startswith(f"kind create cluster --name {NAME} ")
    assert loaded == [f"kind load image-archive {name}.tar --name {NAME}" for name in images.IMAGES]

    clusters.end_cluster(machine.place, remove=False)
    assert machine.called() == [f"docker stop {NAME}-control-plane"]
    assert clusters.lasting_cluster(machine.place).kubeconfig == cluster.kubeconfig
    assert machine.called()[0] == f"docker start {NAME}-control-plane"

    clusters.end_cluster(machine.place, remove=True)
    assert machine.called() == [f"kind delete cluster --name {NAME}"]
    assert not cluster.kubeconfig.exists()


@pytest.mark.parametrize(
    ("program", "script", "why"),
    [
        ("docker", "exit 1", "Docker does not run here"),
        ("kind", f'case "$1" in create) echo no such image >&2; exit 1 ;; esac\n{KIND}', "kind could not make one"),
    ],
)
def test_our_own_node_where_kind_cannot(
    machine: Machine, program: str, script: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.install(program, script)
    assert clusters.lasting_cluster(machine.place) is machine.own_node
    assert capsys.readouterr().out.endswith(f"The cluster: the project's own node, as {why}\n")


def test_our_own_node_where_there_is_no_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = Machine(tmp_path, monkeypatch)
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    machine.install("docker")
    assert clusters.lasting_cluster(machine.place) is machine.own_node
    assert capsys.readouterr().out == "The cluster: the project's own node, as there is no kind and no kubectl here\n"


def test_a_node_that_there_is_stays_the_cluster(machine: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    machine.place.state.mkdir(parents=True)
    assert clusters.lasting_cluster(machine.place) is machine.own_node
    assert capsys.readouterr().out == "The cluster: the project's own node, as it is there already\n"


def test_data_in_kind_are_not_forgotten_where_docker_ended(machine: Machine) -> None:
    clusters.lasting_cluster(machine.place)
    machine.install("docker", "exit 1")
    with pytest.raises(KindError, match="the data are in the cluster that kind made, and Docker does not run here: start Docker"):
        clusters.lasting_cluster(machine.place)


def test_the_tests_take_one_of_their_own_from_kind(machine: Machine) -> None:
    with clusters.passing_cluster() as cluster:
        assert machine.called()[0].startswith(f"kind create cluster --name {TESTS} ")
        cluster.load_image(Path("one-more.tar"))
        assert machine.called() == [f"kind load image-archive one-more.tar --name {TESTS}"]
        assert "kind makes the cluster here" in clusters.another_cluster()
    assert machine.called() == [f"kind delete cluster --name {TESTS}"]


def test_a_cluster_that_killed_tests_have_left_ends_first(machine: Machine) -> None:
    leaving = clusters.passing_cluster()
    leaving.__enter__()
    machine.called()
    with clusters.passing_cluster():
        assert [call.split()[1] for call in machine.called()[:2]] == ["delete", "create"]


@pytest.mark.parametrize("program", ["docker", "kind"])
def test_the_tests_take_our_own_node_where_kind_cannot(machine: Machine, program: str, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.install(program, f'case "$1" in info|create) echo cannot >&2; exit 1 ;; esac\n{KIND}')
    monkeypatch.setattr(clusters, "own_node", nullcontext)
    with clusters.passing_cluster() as cluster:
        assert cluster is machine.own_node


def test_the_tests_take_the_cluster_that_is_named(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", KUBECONFIG_OF_ANOTHER)
    with clusters.passing_cluster() as cluster:
        assert str(cluster.kubeconfig) == KUBECONFIG_OF_ANOTHER
        assert "KUBECONFIG names another cluster" in clusters.another_cluster()
    assert machine.called() == []
