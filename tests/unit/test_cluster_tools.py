"""The way into a cluster that its tests take: kubectl's forwarded port, which is kept open."""

from pathlib import Path

from tests.cluster.tools import Cluster, until

KUBECTL = """#!/bin/sh
echo "$*" >>{calls}
echo "Forwarding from 127.0.0.1:4711 -> 80"
[ "$(wc -l <{calls})" -lt 3 ] || exec sleep 600
seq 100000 # more than a pipe holds while nobody reads
"""


def test_a_forwarded_port_is_opened_again_where_it_was(tmp_path: Path) -> None:
    calls = tmp_path / "calls"
    kubectl = tmp_path / "kubectl"
    kubectl.write_text(KUBECTL.format(calls=calls), encoding="utf-8")
    kubectl.chmod(0o755)
    with Cluster(tmp_path / "kubeconfig", kubectl, "helm").port_forward("default", "svc/one", 80) as port:
        assert port == 4711
        until(lambda: len(calls.read_text().splitlines()) == 3, "kubectl was started again, and again", 60)
    asked = [call.split()[-1] for call in calls.read_text().splitlines()]
    assert asked == [":80", "4711:80", "4711:80"]
