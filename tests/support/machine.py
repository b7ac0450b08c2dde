"""What tests ask of the machine that they run on."""

import os
import socket
from pathlib import Path


def cache_folder() -> Path:
    """Where built programs and images are kept: `LAKEHOUSE_CACHE`, or ~/.cache/lakehouse."""
    return Path(os.environ.get("LAKEHOUSE_CACHE") or Path.home() / ".cache" / "lakehouse")


def free_port() -> int:
    """A port of the loopback interface that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
