"""Loads in pods of their own: several at once, or held at a step for as long as a test needs to do something else."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from typing import Any

from tests.cluster import stopped
from tests.cluster.tools import Release, until

DAY = date(2026, 3, 2)


def log_lines(name: str, first: int, count: int, day: date = DAY) -> bytes:
    """Lines of an access log of one day, each another one: the same bytes are not loaded for two sites."""
    line = '192.0.2.{} - - [{:%d/%b/%Y}:{:02}:{:02}:{:02} +0000] "GET /{}/{} HTTP/1.1" 200 {} "-" "curl/8.0"\n'
    numbers = range(first, first + count)
    return "".join(line.format(n % 250, day, n // 3600 % 24, n // 60 % 60, n % 60, name, n, n) for n in numbers).encode()


def put_log(landing: Any, key: str, first: int, count: int) -> None:
    """Write such a log into the landing bucket."""
    landing.put_object(Bucket="landing", Key=key, Body=log_lines(key, first, count))


class Load:
    """A load in pods like those of the schedule `web`, that stops at a step.

    Args:
        release: where.
        name: of its job.
        site: that it loads for.
        pattern: of its inputs, in the landing bucket.
        stop_at: a step of docs/exactly-once.md, or `stopped.ASKED`; empty: it does not stop.
        pods: so many do it at once; `$(JOB_COMPLETION_INDEX)` in the pattern is the number of each.
        options: more arguments.
    """

    def __init__(
        self,
        release: Release,
        name: str,
        site: str,
        pattern: str,
        stop_at: str = "",
        pods: int = 1,
        options: tuple[str, ...] = (),
    ) -> None:
        self._release = release
        self.name = name
        self.site = site
        self._pods = pods
        source = f"--from=cronjob/{release.name}-loader-web"
        job = json.loads(release.kubectl("create", "job", name, source, "--dry-run=client", "--output=json"))
        job["spec"] |= {"backoffLimit": 0, "completionMode": "Indexed", "completions": pods, "parallelism": pods}
        [container] = job["spec"]["template"]["spec"]["containers"]
        container["command"] = ["python", "-c", Path(stopped.__file__).read_text(encoding="utf-8"), stop_at]
        container["args"] = ["load", "access_logs", f"s3://landing/{pattern}", "--site", site, "--format", "combined", *options]
        release.kubectl("create", "--filename=-", text=json.dumps(job))

    def wait_until_stopped(self) -> None:
        """Wait until all its pods have come to the step."""
        until(lambda: self._log().count(stopped.STOPPED) == self._pods, f"load {self.name} stopped")

    def let_go(self) -> None:
        """Let all its pods go on at once."""
        pods = [pod["metadata"]["name"] for pod in self._release.objects("pods", f"job-name={self.name}")]
        with ThreadPoolExecutor(len(pods)) as together:
            list(together.map(lambda pod: self._release.kubectl("exec", pod, "--", "bash", "-c", "kill -CONT -1"), pods))

    def finish(self) -> str:
        """Wait for its end and return what it said; raises CommandFailedError with it if it failed."""
        return self._release.finished_job(self.name)

    def _log(self) -> str:
        return self._release.kubectl("logs", "--selector", f"job-name={self.name}", "--tail=-1")


def commit_seconds(log: str) -> list[float]:
    """How long the commits of loads took, as they told it."""
    return sorted(float(seconds) for seconds in re.findall(r"^commit: ([0-9.]+) s$", log, re.MULTILINE))


def rows_of(release: Release, site: str) -> list[int]:
    """Rows of a site, and how many of them differ: those of a load have their own address and size."""
    query = f"SELECT count(*), count(DISTINCT bytes), count(_input) FROM access_logs WHERE site = '{site}'"
    [counts] = release.trino(query)
    return counts
