"""What cluster tests do with a cluster: helm, kubectl, SQL by the Trino CLI, and a way in for pyiceberg and boto3."""

import json
import os
import re
import subprocess
from base64 import b64decode
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import Any

import trino.exceptions
from requests import ReadTimeout, RequestException, Session
from tenacity import RetryError, Retrying, retry_if_exception_type, retry_if_result, stop_after_delay, wait_fixed
from trino.auth import BasicAuthentication
from trino.dbapi import connect

PROJECT = Path(__file__).parents[2]
CHARTS = PROJECT / "helm"
PARTS = ("postgresql", "minio", "metastore", "trino", "loader", "superset")
PATIENCE = 1200
"""Seconds after which what a test waits for is taken to have failed."""


class CommandFailedError(Exception):
    """A command of the cluster failed; its message is what the command said."""


class Cluster:
    """A Kubernetes cluster and the programs to drive it with.

    Args:
        kubeconfig: by which to log in.
        kubectl: the program.
        helm: the program.
        load_image: makes the images of an archive known to the cluster; a cluster that somebody else made must know them.
    """

    def __init__(
        self,
        kubeconfig: Path,
        kubectl: Path | str,
        helm: Path | str,
        load_image: Callable[[Path], None] = lambda archive: None,
    ) -> None:
        self.kubeconfig = kubeconfig
        self.load_image = load_image
        self.kubectl_path = str(kubectl)
        self.helm_path = str(helm)
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}

    def kubectl(self, *arguments: str, text: str | None = None, timeout: float = PATIENCE) -> str:
        """What kubectl prints; raises CommandFailedError."""
        return self._run([self.kubectl_path, *arguments], text, timeout)

    def helm(self, *arguments: str, timeout: float = 2 * PATIENCE) -> str:
        """What helm prints; raises CommandFailedError."""
        return self._run([self.helm_path, *arguments], None, timeout)

    def _run(self, command: Sequence[str], text: str | None, timeout: float) -> str:
        done = subprocess.run(command, input=text, capture_output=True, text=True, env=self._environment, timeout=timeout)
        if done.returncode != 0:
            raise CommandFailedError(f"{' '.join(command)[:500]}\n{done.stderr.strip()[-4000:]}\n{done.stdout.strip()[-4000:]}")
        return done.stdout

    @contextmanager
    def port_forward(self, namespace: str, target: str, port: int) -> Iterator[int]:
        """A port of the loopback interface that leads to a port of a pod or service; raises CommandFailedError."""
        command = [self.kubectl_path, "--namespace", namespace, "port-forward", "--address=127.0.0.1", target]
        forward = _Forward(command, port, self._environment)
        try:
            yield forward.local
        finally:
            forward.close()


class _Forward:
    """A running `kubectl port-forward`, which ends with any connection that breaks: it is started again on the same port.

    What it prints is read on and on: it tells of each connection, and stands still when nobody takes that from it.
    """

    def __init__(self, command: list[str], port: int, environment: dict[str, str]) -> None:
        self._command = command
        self._port = port
        self._environment = environment
        self._closing = Event()
        self.local = self._start("")
        self._keeper = Thread(target=self._keep, daemon=True)
        self._keeper.start()

    def _start(self, local: str) -> int:
        """The local port, once it is open; raises CommandFailedError."""
        command = [*self._command, f"{local}:{self._port}"]
        self._process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self._process.stdout is not None
        first = self._process.stdout.readline()
        match = re.search(r"127\.0\.0\.1:(\d+) ->", first)
        if match is None:
            self._process.kill()
            self._process.communicate()
            raise CommandFailedError(f"{' '.join(command)}\n{first}")
        return int(match[1])

    def _keep(self) -> None:
        self._process.communicate()
        while not self._closing.wait(0.2):
            with suppress(CommandFailedError):  # what it leads to may be on its way back
                self._start(str(self.local))
                self._process.communicate()

    def close(self) -> None:
        """End it."""
        self._closing.set()
        while self._keeper.is_alive():
            self._process.terminate()
            self._keeper.join(0.1)


@dataclass(frozen=True)
class TrinoWay:
    """A way to Trino from outside, which stays open from query to query.

    Args:
        port: of the loopback interface, that leads to Trino's TLS.
        authority: the file to check its certificate with.
        passwords: of its users.
    """

    port: int
    authority: Path
    passwords: dict[str, str]

    def leads(self) -> bool:
        """Whether Trino answers at its end; it leads to one pod, not to whatever takes its place."""
        with Session() as session:
            session.trust_env = False
            try:
                return session.get(f"https://localhost:{self.port}/v1/info", verify=str(self.authority), timeout=10).ok
            except ReadTimeout:
                return True  # it is busy, not gone
            except RequestException:
                return False


class Release:
    """An installed lakehouse; whoever asks its Trino closes it in the end.

    Args:
        cluster: where it is.
        name: of the release.
        namespace: in which it is.
    """

    def __init__(self, cluster: Cluster, name: str, namespace: str) -> None:
        self.cluster = cluster
        self.name = name
        self.namespace = namespace
        self._way: TrinoWay | None = None
        self._opened = ExitStack()

    def kubectl(self, *arguments: str, text: str | None = None, timeout: float = PATIENCE) -> str:
        """kubectl in the release's namespace."""
        return self.cluster.kubectl("--namespace", self.namespace, *arguments, text=text, timeout=timeout)

    def objects(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        """Objects of a kind, or of several with commas between them, as the API tells them."""
        found: dict[str, Any] = json.loads(self.kubectl("get", kind, "--selector", selector, "--output", "json"))
        items: list[dict[str, Any]] = found["items"]
        return items

    def secret(self, name: str, key: str) -> str:
        """A value out of one of the release's Secrets; `name` without the release's."""
        return self.secrets(name)[key]

    def secrets(self, name: str) -> dict[str, str]:
        """All values of one of the release's Secrets; `name` without the release's."""
        found = json.loads(self.kubectl("get", "secret", f"{self.name}-{name}", "--output", "json"))
        return {key: b64decode(value).decode() for key, value in found["data"].items()}

    def trino(self, sql: str, *, user: str = "admin", catalog: str = "iceberg", schema: str = "lakehouse") -> list[list[Any]]:
        """Rows of a query, asked from outside over TLS; raises CommandFailedError with Trino's complaint."""
        way = self.way_to_trino()
        with Session() as session:
            session.verify = str(way.authority)
            # What REQUESTS_CA_BUNDLE names would be taken instead.
            session.trust_env = False
            login = {"user": user, "auth": BasicAuthentication(user, way.passwords[user])}
            place = {"host": "localhost", "port": way.port, "http_scheme": "https", "catalog": catalog, "schema": schema}
            try:
                with connect(**place, **login, http_session=session) as connection:  # type: ignore[no-untyped-call]
                    return list(connection.cursor().execute(sql).fetchall())
            except (trino.exceptions.Error, RequestException) as error:
                raise CommandFailedError(f"{sql[:500]}\n{error}") from error

    def way_to_trino(self) -> "TrinoWay":
        """The way to Trino that the last query took, or another one where that leads to a pod that is gone."""
        if self._way is None or not self._way.leads():
            self.close()
            with ExitStack() as opened:
                port = opened.enter_context(self.port_forward(f"svc/{self.name}-trino", 8443))
                authority = Path(opened.enter_context(TemporaryDirectory())) / "ca.crt"
                authority.write_text(self._in_coordinator("cat", "/etc/trino/tls/ca.crt"), encoding="utf-8")
                self._way = TrinoWay(port, authority, self.secrets("trino-users"))
                self._opened = opened.pop_all()
        return self._way

    def close(self) -> None:
        """Close the way to Trino, if there is one."""
        self._way = None
        self._opened.close()

    def trino_inside(self, sql: str) -> list[list[Any]]:
        """The same for the admin, asked by the Trino CLI inside the cluster."""
        output = self._in_coordinator(
            "env", f"TRINO_PASSWORD={self.secret('trino-users', 'admin')}",
            "trino", "--server=https://localhost:8443", "--truststore-path=/etc/trino/tls/ca.crt", "--user=admin", "--password",
            "--output-format=JSON", "--catalog=iceberg", "--schema=lakehouse", "--execute", sql,
        )  # fmt: skip
        return [list(json.loads(line).values()) for line in output.splitlines() if line.startswith("{")]

    def _in_coordinator(self, *command: str) -> str:
        return self.kubectl("exec", f"deploy/{self.name}-trino-coordinator", "--container", "trino", "--", *command)

    @contextmanager
    def port_forward(self, target: str, port: int) -> Iterator[int]:
        """A port of the loopback interface that leads to a port of a pod or service of the release."""
        with self.cluster.port_forward(self.namespace, target, port) as local:
            yield local

    def run_source(self, source: str, run: str) -> str:
        """Start a load of the loader's schedule now, wait for its end and return what it said; raises CommandFailedError."""
        self.start_source(source, run)
        return self.finished_job(run)

    def start_source(self, source: str, run: str) -> None:
        """Start a load of the loader's schedule now."""
        self.kubectl("create", "job", run, f"--from=cronjob/{self.name}-loader-{source}")

    def finished_job(self, job: str) -> str:
        """Wait for a job's end and return its log; raises CommandFailedError with it if the job failed."""

        def ends() -> set[str]:
            return conditions(json.loads(self.kubectl("get", "job", job, "--output", "json"))) & {"Complete", "Failed"}

        ended: set[str] = until(ends, f"job {job}")
        log = self.kubectl("logs", "--selector", f"job-name={job}", "--tail=-1")
        if "Failed" in ended:
            raise CommandFailedError(f"job {job}:\n{log}")
        return log

    def job_of(self, part: str) -> str:
        """Name of the one job of a part of the chart, such as `loader-views`, without what its values add to it."""
        names = [job["metadata"]["name"] for job in self.objects("jobs")]
        found: list[str] = [name for name in names if re.fullmatch(f"{self.name}-{part}-[0-9a-f]{{8}}", name)]
        assert len(found) == 1, names
        return found[0]

    def run_again(self, part: str, run: str) -> str:
        """Do a job of the chart once more, under another name, wait for its end and return its log."""
        job: dict[str, Any] = json.loads(self.kubectl("get", "job", self.job_of(part), "--output", "json"))
        template = job["spec"]["template"]
        labels = {key: value for key, value in template["metadata"]["labels"].items() if not key.endswith(("-uid", "job-name"))}
        again = {
            "apiVersion": job["apiVersion"],
            "kind": "Job",
            "metadata": {"name": run},
            "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": template["spec"]}},
        }
        self.kubectl("create", "--filename=-", text=json.dumps(again))
        return self.finished_job(run)


def until(condition: Callable[[], Any], what: str, seconds: float = PATIENCE) -> Any:
    """Wait until a condition is met and return what it answered; commands that fail meanwhile are asked again."""
    waiting = Retrying(
        retry=retry_if_exception_type(CommandFailedError) | retry_if_result(lambda met: not met),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(1),
    )
    try:
        return waiting(condition)
    except RetryError as error:
        raise AssertionError(f"{what}: not within {seconds} s") from error


def all_ready(release: Release) -> bool:
    """Whether every pod is ready or has done its work, and none is of an earlier revision.

    One that failed has done it when its job came to its end without it.
    """
    selector = f"app.kubernetes.io/instance={release.name}"
    found = release.objects("deployments,statefulsets,jobs,pods", selector)
    if not all(_has_rolled_out(each) for each in found if each["kind"] in ("Deployment", "StatefulSet")):
        return False
    done = {job["metadata"]["uid"] for job in found if job["kind"] == "Job" and "Complete" in conditions(job)}

    def settled(pod: dict[str, Any]) -> bool:
        if pod["status"]["phase"] == "Failed":
            return any(owner["uid"] in done for owner in pod["metadata"].get("ownerReferences", []))
        return pod["status"]["phase"] == "Succeeded" or "Ready" in conditions(pod)

    pods = [pod for pod in found if pod["kind"] == "Pod"]
    return bool(pods) and all(settled(pod) for pod in pods)


def _has_rolled_out(found: dict[str, Any]) -> bool:
    """Whether a Deployment's or StatefulSet's controller has seen what it is now, and all of its pods are made from that."""
    status = found["status"]
    pods = found["spec"]["replicas"]
    seen = status.get("observedGeneration") == found["metadata"]["generation"]
    return bool(seen and status.get("updatedReplicas", 0) == status.get("replicas", 0) == pods)


def conditions(found: dict[str, Any]) -> set[str]:
    """Types of an object's conditions that are met."""
    return {entry["type"] for entry in found["status"].get("conditions", []) if entry["status"] == "True"}


def build_dependencies(cluster: Cluster, charts: Path = CHARTS) -> None:
    """Put the charts into each other: their parts lie beside them as folders."""
    for chart in (*PARTS, "lakehouse"):
        cluster.helm("dependency", "update", "--skip-refresh", str(charts / chart))


def packaged(cluster: Cluster, folder: Path, charts: Path = CHARTS) -> Path:
    """The chart as it is handed out: one file in the folder, with its parts in it."""
    build_dependencies(cluster, charts)
    cluster.helm("package", str(charts / "lakehouse"), "--destination", str(folder))
    [package] = folder.glob("lakehouse-*.tgz")
    return package
