"""The secret of keyed hashes: from the settings, or generated once per lakehouse and kept in its home."""

import os
import secrets
from pathlib import Path

from lakehouse.errors import SettingsError
from lakehouse.settings import Settings
from lakehouse.storage import explain


def read_key(settings: Settings) -> bytes:
    """The key; created with mode 0600 in home on first use.

    Raises:
        SettingsError: it cannot be read or created.
    """
    if settings["key"]:
        return str(settings["key"]).encode()
    path: Path = settings.home / "visitor.key"
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(secrets.token_hex(32))
                stream.flush()
                os.fsync(stream.fileno())
            try:
                os.link(temporary, path)  # fails when another process was first, whose key counts
            except FileExistsError:
                pass
            finally:
                temporary.unlink()
        return path.read_text().strip().encode()
    except OSError as error:
        raise SettingsError(
            f"{path}: the key of keyed hashes cannot be read or made: {explain(error)}; or set LAKEHOUSE_KEY"
        ) from error
