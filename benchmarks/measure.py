"""What a process or a function uses: CPU, memory, time; and on which machine, with which versions."""

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from lakehouse.errors import LakehouseError

QUIET_LOAD = 0.3
"""Load average for each CPU up to which a machine counts as quiet."""
ONE_THREAD = {
    "POLARS_MAX_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "RAYON_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
}
_LAUNCHER = Path(__file__).with_name("launcher.py")
_PACKAGES = ("polars", "pyarrow", "duckdb", "pyiceberg", "chdb")


@dataclass(frozen=True)
class Usage:
    """What a child process and its own children used.

    Args:
        wall: seconds by the clock.
        cpu: seconds of CPU, user and system.
        peak: resident bytes at most.
        output: what it printed.
    """

    wall: float
    cpu: float
    peak: int
    output: str

    @property
    def peak_mb(self) -> float:
        """Megabytes of 1,000,000 bytes."""
        return self.peak / 1e6


def _as_installed(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment but for what forbids Python to keep compiled modules, which an installed package has."""
    return {name: value for name, value in environment.items() if name != "PYTHONDONTWRITEBYTECODE"}


def run_measured(
    command: Sequence[str | Path], environment: Mapping[str, str] | None = None, *, one_thread: bool = False
) -> Usage:
    """Run a command to its end.

    Args:
        command: program and arguments.
        environment: variables on top of those of this process.
        one_thread: pin it to one CPU and ask its libraries for one thread.

    Raises:
        LakehouseError: it failed; with the end of what it said.
    """
    cpu = str(max(os.sched_getaffinity(0))) if one_thread and hasattr(os, "sched_getaffinity") else "all"
    answer, result = os.pipe()
    try:
        with tempfile.TemporaryFile("w+", errors="replace") as output:
            subprocess.run(
                [sys.executable, "-I", "-S", _LAUNCHER, str(result), cpu, *map(str, command)],
                env={**_as_installed(os.environ), **(ONE_THREAD if one_thread else {}), **(environment or {})},
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=(result,),
                check=True,
            )
            output.seek(0)
            said = output.read()
        code, wall, used, peak = os.read(answer, 1000).split()
    except subprocess.CalledProcessError as error:
        raise LakehouseError(f"{command[0]} could not be started: is it installed?") from error
    finally:
        os.close(answer)
        os.close(result)
    if int(code):
        raise LakehouseError(f"{' '.join(map(str, command))[:200]} ended with {int(code)}: {said[-2000:].strip()}")
    return Usage(float(wall), float(used), int(peak), said)


def timed(action: Callable[[], object], times: int) -> list[float]:
    """Seconds by the clock of each of `times` runs."""
    return [_seconds(action) for _ in range(times)]


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of all values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def best_and_median(values: Sequence[float]) -> str:
    """Milliseconds: best (median)."""
    return f"{min(values) * 1000:.1f} ({statistics.median(values) * 1000:.1f})"


def machine() -> str:
    """Processor, CPUs, memory and system."""
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{_processor()}, {os.cpu_count()} CPUs, {gigabytes:.0f} GiB, {platform.system()} {platform.release()}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def versions() -> str:
    """Python and the libraries that are measured."""
    found = [f"Python {platform.python_version()}"]
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"no {package}")
    return ", ".join(found)


def load_average() -> float:
    """Processes that ran or waited to run in the last minute, for each CPU."""
    return os.getloadavg()[0] / (os.cpu_count() or 1)
