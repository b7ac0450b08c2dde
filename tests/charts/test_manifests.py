"""What is true of everything that is installed, whatever the values."""

import json
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.charts.conftest import NAME, PROJECT, VALUES, Helm, of_kind, pod_of, pods, secrets_used

FILES = [None, *sorted(VALUES.glob("*.yaml")), *sorted((PROJECT / "helm" / "lakehouse" / "examples").glob("*.yaml"))]


@pytest.fixture(scope="module", params=FILES, ids=lambda file: f"{file.parent.name}/{file.stem}" if file else "no-values")
def file(request: pytest.FixtureRequest) -> Path | None:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def objects(helm: Helm, file: Path | None) -> list[dict[str, Any]]:
    return helm.rendered(values=file)


def test_pods_satisfy_pod_security_restricted(objects: list[dict[str, Any]]) -> None:
    for name, pod in pods(objects).items():
        spec = pod["spec"]
        security = spec["securityContext"]
        assert security["runAsNonRoot"] and security["runAsUser"] > 0, name
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys(), name
        kinds = {kind for volume in spec.get("volumes", []) for kind in volume if kind != "name"}
        assert kinds <= {"configMap", "emptyDir", "projected", "secret"}, name
        for container in (*spec.get("initContainers", []), *spec["containers"]):
            expected = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
            assert container["securityContext"] == expected, f"{name}: {container['name']}"


def test_containers_have_requests_limits_and_last_words(objects: list[dict[str, Any]]) -> None:
    for name, pod in pods(objects).items():
        for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}, f"{name}: {container['name']}"
            assert "memory" in container["resources"]["limits"], f"{name}: {container['name']}"
            assert container["terminationMessagePolicy"] == "FallbackToLogsOnError", f"{name}: {container['name']}"


def test_servers_are_probed_and_drained_one_by_one(objects: list[dict[str, Any]]) -> None:
    budgets = [budget["spec"] for budget in of_kind(objects, "PodDisruptionBudget")]
    assert all(budget["maxUnavailable"] == 1 for budget in budgets)
    for server in of_kind(objects, "Deployment", "StatefulSet"):
        pod = pod_of(server)
        for container in pod["spec"]["containers"]:
            assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys(), server["metadata"]["name"]
            # Where a start is cut short, it only begins anew.
            startup = container["startupProbe"]
            assert startup["periodSeconds"] * startup["failureThreshold"] >= 600, server["metadata"]["name"]
            # An open port proves nothing.
            assert "tcpSocket" not in container["readinessProbe"], server["metadata"]["name"]
        selected = [
            budget for budget in budgets if budget["selector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        ]
        assert len(selected) == 1, server["metadata"]["name"]


def test_selectors_find_their_pods_and_nobody_elses(objects: list[dict[str, Any]]) -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects).items()}
    for item in of_kind(objects, "Deployment", "StatefulSet"):
        wanted = item["spec"]["selector"]["matchLabels"]
        assert [name for name, given in labels.items() if wanted.items() <= given.items()] == [item["metadata"]["name"]]
    for service in of_kind(objects, "Service"):
        wanted = service["spec"]["selector"]
        assert len([name for name, given in labels.items() if wanted.items() <= given.items()]) == 1, service["metadata"]["name"]


def test_secret_values_are_in_secrets_only(objects: list[dict[str, Any]]) -> None:
    secrets = {
        b64decode(value).decode()
        for secret in of_kind(objects, "Secret")
        for key, value in secret["data"].items()
        if key != "username" or "minio" in secret["metadata"]["name"]
    }
    elsewhere = json.dumps([item for item in objects if item["kind"] != "Secret"])
    assert secrets
    assert not [secret for secret in secrets if secret in elsewhere]


def texts(values: Any) -> set[str]:
    """All that a values file says."""
    if isinstance(values, dict | list):
        return {text for value in (values.values() if isinstance(values, dict) else values) for text in texts(value)}
    return {str(values)}


def test_no_pod_waits_for_a_secret_that_nobody_makes(objects: list[dict[str, Any]], file: Path | None) -> None:
    made = {(item["metadata"]["name"], key) for item in of_kind(objects, "Secret") for key in (*item["data"], "")}
    by_cert_manager = {item["spec"]["secretName"] for item in of_kind(objects, "Certificate")}
    given = by_cert_manager | texts(yaml.safe_load(file.read_text(encoding="utf-8")) if file else None)
    assert {(name, key) for name, key in secrets_used(objects) - made if name not in given} == set()


def test_nobody_comes_in_uninvited(helm: Helm) -> None:
    objects = helm.rendered(values=VALUES / "sources.yaml")
    policies = [policy["spec"] for policy in of_kind(objects, "NetworkPolicy")]
    for name, pod in pods(objects).items():
        labels = pod["metadata"]["labels"].items()
        selecting = [policy for policy in policies if policy["podSelector"]["matchLabels"].items() <= labels]
        assert any("ingress" not in policy for policy in selecting), name
        assert all(rule["from"] and rule["ports"] for policy in selecting for rule in policy.get("ingress", [])), name


def test_everybody_who_needs_a_part_is_let_in(helm: Helm) -> None:
    objects = helm.rendered(values=VALUES / "sources.yaml")
    labels = {name: pod["metadata"]["labels"] for name, pod in pods(objects).items()}

    def allowed(server: str) -> set[str]:
        rules = [
            policy["spec"] for policy in of_kind(objects, "NetworkPolicy") if policy["metadata"]["name"] == f"{NAME}-{server}"
        ]
        peers = [peer["podSelector"]["matchLabels"] for policy in rules for rule in policy["ingress"] for peer in rule["from"]]
        return {name for name, given in labels.items() for peer in peers if peer.items() <= given.items()}

    def job(part: str) -> str:
        [name] = [name for name in labels if name.startswith(f"{NAME}-{part}-")]
        return name

    trino = {f"{NAME}-trino-coordinator", f"{NAME}-trino-worker"}
    loads = {f"{NAME}-loader-{name}" for name in ("web", "api", "test")} | {job("loader-views"), job("loader-sample")}
    superset = {f"{NAME}-superset", job("superset-prepare")}
    assert allowed("metastore") == trino | loads
    assert allowed("trino-worker") == trino
    assert allowed("trino-coordinator") == trino | superset | {f"{NAME}-loader-test", job("loader-views")}
    assert allowed("postgresql") >= superset
    assert allowed("superset") == set()


@pytest.mark.parametrize(
    ("values", "rolled"),
    [
        ({"trino": {"catalogs": {"extra": {"more": "connector.name=tpch"}}}}, {"trino-coordinator", "trino-worker"}),
        ({"trino": {"extraConfig": ["query.max-run-time=1h"]}}, {"trino-coordinator", "trino-worker"}),
        ({"trino": {"auth": {"users": {"eve": "analyst"}}}}, {"trino-coordinator", "trino-worker"}),
        ({"metastore": {"s3": {"region": "eu-west-3"}}}, {"metastore"}),
        ({"loader": {"settings": "# nothing"}}, set()),
        ({"superset": {"behindTls": True}}, {"superset"}),
    ],
    # Names of their own: those made of sets differ from process to process.
    ids=["a catalog", "a line of the configuration", "a user", "a region", "settings of loads", "a proxy"],
)
def test_what_is_configured_otherwise_is_started_again(helm: Helm, values: dict[str, Any], rolled: set[str]) -> None:
    before, after = helm.rendered(), helm.rendered(values=values)

    def servers(objects: list[dict[str, Any]]) -> dict[str, Any]:
        return {
            item["metadata"]["name"].removeprefix(f"{NAME}-"): pod_of(item)
            for item in of_kind(objects, "Deployment", "StatefulSet")
        }

    assert {name for name, pod in servers(after).items() if servers(before)[name] != pod} == rolled


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"trino": {"worker": {"memoryMegabytes": 512}}},
            "trino: worker.memoryMegabytes is 512, and Trino does not start with less than 1408: raise it",
        ),
        ({"trino": {"query": {"heapShare": 0.9}}}, "trino: query.heapShare is 0.9; it must be above 0 and at most 0.7"),
        (
            {"trino": {"catalogs": {"shipped": ["icebrg"]}}},
            'trino: catalogs.shipped names "icebrg", and there is no such catalog',
        ),
        (
            {"trino": {"catalogs": {"extra": {"x": "conector.name=hive"}}}},
            "trino: catalogs.extra.x has no line connector.name=...",
        ),
        (
            {"trino": {"catalogs": {"extra": {"hive": "connector.name=hive"}}}},
            "trino: catalogs.extra.hive has the name of a shipped catalog",
        ),
        (
            {"trino": {"catalogs": {"extra": {"x": "connector.name=postgresql\nconnection-password=open"}}}},
            'trino: catalogs.extra.x holds a secret in "connection-password": write ${ENV:NAME} there',
        ),
        ({"trino": {"tls": {"existingSecret": "x", "certManager": {"issuer": "y"}}}}, "a certificate comes from one of them"),
        (
            {"metastore": {"heapMegabytes": 1024}},
            "metastore: heapMegabytes is 1024 and resources.limits.memory 1Gi: Java needs 192 MiB beside",
        ),
        ({"minio": {"buckets": ["warehouse"]}}, 'may use the bucket "landing", which buckets does not name: add it there'),
        ({"minio": {"enabled": False}}, "minio.enabled is false, and metastore.s3.endpoint still names it"),
        ({"postgresql": {"enabled": False}}, "postgresql.enabled is false, and metastore.database.host still names it"),
        (
            {
                "postgresql": {"enabled": False},
                "metastore": {"enabled": False},
                "trino": {"metastore": {"uri": "thrift://x:9083"}},
                "loader": {"catalog": {"uri": "thrift://x:9083"}},
            },
            "postgresql.enabled is false, and superset.database.host still names it",
        ),
        (
            {"metastore": {"enabled": False}, "trino": {"metastore": {"uri": "thrift://x:9083"}}},
            "metastore.enabled is false, and loader.catalog.uri still names it",
        ),
        ({"postgresql": {"databases": ["metastore"]}}, 'postgresql.databases does not name "superset"'),
        (
            {"loader": {"namespace": "logs"}},
            "loader.namespace is logs and superset.trino.schema is lakehouse: the dashboards would",
        ),
        (
            {"superset": {"auth": {"users": [{"name": "otto", "role": "analyst"}, {"name": "otto", "role": "analyst"}]}}},
            "superset: auth.users names otto twice: every user is there once, with all sites",
        ),
        ({"trino": {"enabled": False}}, "trino.enabled is false, and loader.views asks it: set loader.views.enabled to false"),
        (
            {"trino": {"enabled": False}, "loader": {"views": {"enabled": False}, "test": {"enabled": False}}},
            "trino.enabled is false, and superset asks it: set superset.enabled to false",
        ),
        (
            {"trino": {"auth": {"existingSecret": "x"}}, "loader": {"trino": {"usersSecret": "x"}}},
            "superset finds no password of its user superset: set superset.trino.existingSecret to a Secret with it",
        ),
        ({"trino": {"auth": {"users": {"writer": None}}}}, "trino.auth.users has no user writer, by whom loader.views asks"),
        ({"trino": {"auth": {"users": {"analyst": None}}}}, "trino.auth.users has no user analyst, by whom loader.test asks"),
        (
            {"trino": {"enabled": False}, "loader": {"views": {"enabled": False}}},
            "trino.enabled is false, and loader.test asks it: set loader.test.enabled to false, or loader.trino.server",
        ),
        (
            {"trino": {"enabled": False}, "loader": {"trino": {"server": "https://trino.example.org"}}},
            "loader.trino.usersSecret still names a Secret that it makes: set it to one with the password of writer",
        ),
        (
            {
                "trino": {"enabled": False},
                "loader": {"trino": {"server": "https://trino.example.org", "usersSecret": "x"}},
            },
            "loader.trino.authoritySecret still names a Secret that it makes: set it to one with the certificate",
        ),
        (
            {"trino": {"tls": {"existingSecret": "x"}}},
            "loader.trino.authoritySecret still names the one that is made without it: set it to a Secret with",
        ),
        (
            {"trino": {"tls": {"existingSecret": "x"}}, "loader": {"trino": {"authoritySecret": "x"}}},
            "superset.trino.authoritySecret still names the one that is made without it: set it to a Secret with the "
            'certificate of your authority, such as "x"',
        ),
        ({"superset": {"replicas": 2}}, "superset: replicas is 2, and cache.redis.url is empty"),
        (
            {"loader": {"backfills": {"x": {"dataset": "d", "input": "s3://a/b", "from": "2024-01-01", "to": "2024-01-02"}}}},
            'loader: backfills.x.input is "s3://a/b": write {date} where the day stands',
        ),
        (
            {
                "loader": {
                    "backfills": {"x": {"dataset": "d", "input": "s3://a/{date}", "from": "2024-01-02", "to": "2024-01-01"}}
                }
            },
            "loader: backfills.x goes from 2024-01-02 to 2024-01-01, which is earlier",
        ),
    ],
    ids=str,
)
def test_what_does_not_fit_together_is_told(helm: Helm, values: dict[str, Any], said: str) -> None:
    assert said in helm.refusal(values)


def test_lint_finds_nothing(helm: Helm) -> None:
    for chart in sorted(path.parent for path in helm.charts.glob("*/Chart.yaml")):
        done = helm.run("lint", "--strict", str(chart))
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_package_is_whole(helm: Helm, tmp_path: Path) -> None:
    for chart in sorted(path.parent for path in helm.charts.glob("*/values.yaml")):
        done = helm.run("package", str(chart), "--destination", str(tmp_path))
        assert done.returncode == 0, done.stderr
    # The folder holds a link to the catalogs, and the package the files themselves.
    packaged = helm.run(
        "template", NAME, str(next(tmp_path.glob("lakehouse-*.tgz"))), "--show-only", "charts/trino/templates/catalogs.yaml"
    )
    assert "hive.recursive-directories=true" in packaged.stdout, packaged.stderr
