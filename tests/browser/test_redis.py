"""Several servers share their caches in a real Redis, which wants a password."""

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.browser.conftest import Dashboards
from tests.support.machine import free_port

pytestmark = pytest.mark.browser
PASSWORD = "p@ss:w/rd"
SHARE = """
import json
from limits.storage import storage_from_string
from superset.app import create_app
app = create_app()
with app.app_context():
    from superset.extensions import cache_manager as manager
    caches = manager.cache, manager.data_cache, manager.filter_state_cache, manager.explore_form_data_cache
    found = [cache.get("number") for cache in caches]
    for number, cache in enumerate(caches):
        cache.set("number", number)
    print(json.dumps({"found": found, "limits": storage_from_string(app.config["RATELIMIT_STORAGE_URI"]).check()}))
"""
"""What another server has left in each cache, and whether attempts to log in can be counted there."""


@pytest.fixture
def redis() -> Iterator[str]:
    """Address of a Redis."""
    # Debian's package redis-tools has the server's program, too, and starts no service.
    program = shutil.which("redis-server") or shutil.which("redis-check-rdb")
    if program is None:
        pytest.skip("there is no Redis: install Debian's package redis-tools")
    port = free_port()
    command = ["redis-server", f"--port {port}", "--bind 127.0.0.1", "--save", "", f"--requirepass {PASSWORD}"]
    server = subprocess.Popen(command, executable=program, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        assert any("Ready to accept connections" in line for line in server.stdout)
        yield f"redis://127.0.0.1:{port}/0"
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()


def test_servers_share_their_caches(dashboards: Dashboards, redis: str) -> None:
    for found in ([None] * 4, [0, 1, 2, 3]):
        said = dashboards.run(SHARE, DASHBOARDS_REDIS=redis, DASHBOARDS_REDIS_PASSWORD=PASSWORD)
        assert json.loads(said.splitlines()[-1]) == {"found": found, "limits": True}
