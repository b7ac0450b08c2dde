"""Keeps the node's nftables rules in step with the cluster's NetworkPolicies. The supervisor runs it; it is not run by hand."""

import http.client
import json
import os
import ssl
import subprocess
import threading
import time
from pathlib import Path
from threading import Event, Thread
from typing import Any

from tests.cluster.node.configuration import API_PORT
from tests.cluster.node.places import places
from tests.cluster.node.policies import ruleset

PERIOD_SECONDS = 0.5
_TIMEOUT_SECONDS = 10
_WATCH_SECONDS = 300
_LISTS = ("/apis/networking.k8s.io/v1/networkpolicies", "/api/v1/pods", "/api/v1/namespaces")


def main() -> None:
    """Replace the rules when what they follow from changes; the rules stay while the API server does not answer."""
    context = _login(places().state / "certificates")
    changed = Event()
    threading.excepthook = _end
    for path in _LISTS:
        Thread(target=_watch, args=(context, path, changed), daemon=True).start()
    current = ""
    while changed.wait():
        changed.clear()
        connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, context=context, timeout=_TIMEOUT_SECONDS)
        try:
            wanted = ruleset(*(_list(connection, path) for path in _LISTS))
            if wanted != current:
                subprocess.run(["nft", "--file", "-"], input=wanted, text=True, check=True)
                current = wanted
        except (OSError, http.client.HTTPException) as error:
            print(f"the API server does not answer: {error}", flush=True)
            changed.set()
        finally:
            connection.close()
        time.sleep(PERIOD_SECONDS)


def _end(problem: threading.ExceptHookArgs) -> None:
    """End the whole program, and be started again, instead of going on without one of the lists."""
    threading.__excepthook__(problem)
    os._exit(1)


def _watch(context: ssl.SSLContext, path: str, changed: Event) -> None:
    """Tell of each change in a list, and of all of it whenever the API server is asked anew."""
    while True:
        connection = http.client.HTTPSConnection("127.0.0.1", API_PORT, context=context, timeout=2 * _WATCH_SECONDS)
        try:
            connection.request("GET", f"{path}?watch=true&timeoutSeconds={_WATCH_SECONDS}")
            answer = connection.getresponse()
            changed.set()
            while answer.readline():
                changed.set()
        except (OSError, http.client.HTTPException) as error:
            print(f"{path}: {error}", flush=True)
        finally:
            connection.close()
        time.sleep(PERIOD_SECONDS)


def _login(certificates: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates / "ca.crt"))
    context.load_cert_chain(certificates / "admin.crt", certificates / "admin.key")
    return context


def _list(connection: http.client.HTTPSConnection, path: str) -> list[dict[str, Any]]:
    # Version 0 is answered from the API server's memory.
    connection.request("GET", f"{path}?resourceVersion=0")
    answer = connection.getresponse()
    content = answer.read()
    if answer.status != http.HTTPStatus.OK:
        raise http.client.HTTPException(f"{path}: {answer.status} {content[:200]!r}")
    items: list[dict[str, Any]] = json.loads(content)["items"]
    return items


main()
