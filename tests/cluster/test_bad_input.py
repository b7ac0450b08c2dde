"""What is given wrongly is told in one sentence: by helm before anything is installed, or else by the pod."""

import json
import re
from collections.abc import Iterator

import pytest

from tests.cluster.tools import CHARTS, Cluster, CommandFailedError, Release, build_dependencies, until

pytestmark = pytest.mark.cluster
KEYS = ("access-key", "secret-key")


@pytest.fixture(scope="module")
def wrong(cluster: Cluster) -> Iterator[Release]:
    """A namespace for what does not work, with a Secret that has the keys of an object store."""
    build_dependencies(cluster)
    namespace = "bad-input"
    cluster.kubectl("create", "namespace", namespace)
    release = Release(cluster, "wrong", namespace)
    release.kubectl("create", "secret", "generic", "wrong-minio-trino", *(f"--from-literal={key}=unused" for key in KEYS))
    yield release
    cluster.kubectl("delete", "namespace", namespace, "--wait=false")


def install(release: Release, chart: str, *options: str) -> None:
    release.cluster.helm("install", release.name, str(CHARTS / chart), "--namespace", release.namespace, *options)


def uninstall(release: Release) -> None:
    release.cluster.helm("uninstall", release.name, "--namespace", release.namespace)


def test_a_secret_that_is_missing(wrong: Release) -> None:
    with pytest.raises(CommandFailedError) as refused:
        install(wrong, "lakehouse", "--set", "trino.s3.existingSecret=nowhere")
    assert 'trino: s3.existingSecret names the Secret "nowhere", and the namespace bad-input has none' in str(refused.value)
    assert wrong.objects("pods") == []


def test_a_secret_without_the_key(wrong: Release) -> None:
    options = ("--set", "trino.s3.existingSecret=wrong-minio-trino", "--set", "trino.s3.existingSecretKeys.accessKey=id")
    with pytest.raises(CommandFailedError, match=r'the Secret "wrong-minio-trino", which has no key "id": add it, or say in'):
        install(wrong, "lakehouse", *options)
    assert wrong.objects("pods") == []


def test_memory_that_is_not_enough(wrong: Release) -> None:
    with pytest.raises(CommandFailedError, match="memoryMegabytes is 512, and Trino does not start with less"):
        install(wrong, "lakehouse", "--set", "trino.worker.memoryMegabytes=512")
    assert wrong.objects("pods") == []


def last_words(release: Release, selector: str) -> str:
    """Why containers of some pods ended, as `kubectl describe pod` shows it; empty as long as none did."""
    words = []
    for pod in release.objects("pods", selector):
        for status in (*pod["status"].get("initContainerStatuses", []), *pod["status"].get("containerStatuses", [])):
            ended = status["state"].get("terminated") or status["lastState"].get("terminated") or {}
            words.append(ended.get("message", "") if ended.get("exitCode") else "")
    return "\n".join(words).strip()


@pytest.mark.long
def test_a_database_that_is_not_there(wrong: Release, request: pytest.FixtureRequest) -> None:
    wrong.kubectl("create", "secret", "generic", "database", "--from-literal=username=a", "--from-literal=password=b")
    options = ("--set", "database.host=nowhere.example.org", "--set", "database.existingSecret=database")
    install(wrong, "metastore", *options)
    # It takes a minute until somebody complains: the lakehouse of the other tests is installed meanwhile.
    request.getfixturevalue("release")
    try:
        said = until(lambda: last_words(wrong, "app.kubernetes.io/component=server"), "the metastore's complaint")
        assert said == (
            "metastore: nothing takes connections at nowhere.example.org:5432: set database.host and database.port to your "
            "PostgreSQL, or look why it is down"
        )
    finally:
        uninstall(wrong)


@pytest.mark.long
def test_a_catalog_with_a_typing_error(wrong: Release) -> None:
    catalog = "catalogs.extra.orders=connector.name=tpch\ntpch.splits-per-nod=2"
    install(wrong, "trino", "--set", "worker.replicas=0", "--set", catalog)
    try:
        # Trino says it above a stack trace, whose end is all that its last words have room for.
        log = ("logs", "--selector=app.kubernetes.io/component=coordinator", "--tail=-1")
        until(lambda: "Configuration property 'tpch.splits-per-nod' was not used" in wrong.kubectl(*log), "Trino's complaint")
    finally:
        uninstall(wrong)


def test_an_object_store_that_is_not_there(configured: Release) -> None:
    source = f"--from=cronjob/{configured.name}-loader-web"
    job = json.loads(configured.kubectl("create", "job", "wrong-endpoint", source, "--dry-run=client", "--output=json"))
    job["spec"]["backoffLimit"] = 0
    [container] = job["spec"]["template"]["spec"]["containers"]
    [endpoint] = [entry for entry in container["env"] if entry["name"] == "LAKEHOUSE_S3_ENDPOINT"]
    endpoint["value"] = "http://nowhere.example.org:9000"
    configured.kubectl("create", "--filename=-", text=json.dumps(job))
    try:
        said = until(lambda: last_words(configured, "job-name=wrong-endpoint"), "the load's complaint")
        assert re.fullmatch(r"lakehouse: s3://\S+: the S3 endpoint cannot be reached: check s3\.endpoint \(.*nowhere.*\)", said)
    finally:
        configured.kubectl("delete", "job", "wrong-endpoint")
