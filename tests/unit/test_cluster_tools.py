"""The ways into a cluster that its tests take: kubectl's forwarded port, and Trino behind it, which are kept open."""

import ssl
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

from tests.cluster.node.certificates import Authority
from tests.cluster.tools import Cluster, TrinoWay, until

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


class Answers(BaseHTTPRequestHandler):
    """Answers every question."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


def test_a_way_to_trino_leads_as_long_as_the_one_with_its_certificate_answers(tmp_path: Path) -> None:
    ours, others = (tmp_path / name for name in ("ours", "others"))
    for folder in (ours, others):
        folder.mkdir()
        Authority(folder).issue("tls", "trino", names=("localhost",))
    with HTTPServer(("127.0.0.1", 0), Answers) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(ours / "tls.crt", ours / "tls.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever)
        thread.start()
        way = TrinoWay(server.server_port, ours / "ca.crt", {})
        assert way.leads()
        assert not TrinoWay(server.server_port, others / "ca.crt", {}).leads()
        server.shutdown()
        thread.join()
    assert not way.leads()
