"""Superset over a lakehouse with sample data, started as `make superset` does."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.machine import free_port

REPOSITORY = Path(__file__).parents[2]
PYTHON = REPOSITORY / ".venv-superset" / "bin" / "python"
SUPERSET = REPOSITORY / "superset"
START, SERVE = SUPERSET / "start.py", SUPERSET / "serve.py"

USERS = """
- {name: roxane, role: viewer, sites: [rennes]}
- {name: nobody, role: viewer, sites: ["it's nowhere"]}
- {name: otto, role: analyst}
- {name: leaver, role: analyst}
"""


@dataclass(frozen=True)
class Dashboards:
    """A running Superset: its address, its administrator's password, and the home and tables of the lakehouse below it."""

    address: str
    password: str
    home: Path
    tables: Path
    state: Path

    def password_of(self, user: str) -> str:
        """Of somebody in `USERS`."""
        passwords: dict[str, str] = json.loads((self.state / "passwords.json").read_text())
        return passwords[user]

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "LAKEHOUSE_HOME": str(self.home)}

    def sql(self, statement: str) -> list[dict[str, object]]:
        """What `lakehouse sql` answers."""
        command = [sys.executable, "-m", "lakehouse", "sql", statement, "--json"]
        answer = subprocess.run(command, env=self.environment, check=True, capture_output=True, text=True)
        found: list[dict[str, object]] = json.loads(answer.stdout)
        return found

    def run(self, program: str, **variables: str) -> str:
        """What a program prints that runs with the settings of the server and these variables."""
        settings = {
            "DASHBOARDS_STATE": str(self.state),
            "DASHBOARDS_TABLES": str(self.tables),
            "DASHBOARDS_PASSWORDS": str(self.state / "passwords.json"),
            "PYTHONPATH": str(SUPERSET),
            "SCARF_ANALYTICS": "false",
            "SUPERSET_CONFIG_PATH": str(SUPERSET / "superset_config.py"),
        }
        done = subprocess.run(
            [str(PYTHON), "-c", program], env={**os.environ, **settings, **variables}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="session")
def dashboards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboards]:
    home = tmp_path_factory.mktemp("dashboards")
    (home / "users.yaml").write_text(USERS)
    with serving(home, DASHBOARDS_USERS=str(home / "users.yaml")) as made:
        yield made


@contextmanager
def serving(home: Path, **environment: str) -> Iterator[Dashboards]:
    """Superset as `make superset` starts it over the lakehouse in a folder, with these variables, until the block ends."""
    if not PYTHON.exists():
        pytest.skip("Superset is not installed: make .venv-superset/.installed")
    state, port, log = home / "superset", free_port(), home / "serve.log"
    variables = {**os.environ, "LAKEHOUSE_HOME": str(home), "DASHBOARDS_PORT": str(port), **environment}
    with open(log, "w") as stream:
        command = [sys.executable, str(START), str(PYTHON), str(SERVE)]
        server = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, stderr=stream, text=True)
        assert server.stdout is not None
        try:
            said = []
            for line in server.stdout:
                said.append(line)
                if line.startswith("Ctrl-C"):
                    break
            prepared = state / "prepare.log"
            assert said and said[-1].startswith("Ctrl-C"), (
                "".join(said) + log.read_text() + (prepared.read_text()[-3000:] if prepared.exists() else "")
            )
            password = json.loads((state / "secrets.json").read_text())["admin_password"]
            yield Dashboards(f"http://127.0.0.1:{port}", password, home, home / "warehouse" / "lakehouse", state)
        finally:
            server.terminate()
            server.wait()
            server.stdout.close()
