"""A values file a feature: what each changes in what is installed."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from tests.charts.conftest import VALUES, Helm, of_kind, pods, secrets_used

Objects = list[dict[str, Any]]


def containers(objects: Objects) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, pod in pods(objects).items():
        for container in (*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]):
            yield name, container


def named(objects: Objects, kind: str, name: str) -> dict[str, Any]:
    (found,) = [item for item in of_kind(objects, kind) if item["metadata"]["name"] == name]
    return found


def names(objects: Objects, kind: str) -> set[str]:
    return {item["metadata"]["name"] for item in of_kind(objects, kind)}


def configuration(objects: Objects, name: str, file: str) -> str:
    text: str = named(objects, "ConfigMap", f"lakehouse-{name}")["data"][file]
    return text


def rule_for(objects: Objects, kind: str, **told: str) -> dict[str, Any]:
    """The rule by which Trino decides: the first one whose patterns all fit; a pattern of what is not told fits nothing."""
    rules = json.loads(configuration(objects, "trino-access", "rules.json"))[kind]
    keys = ("user", "group", "catalog", "schema", "table")
    fitting = (
        rule
        for rule in rules
        if all(key in told and re.fullmatch(pattern, told[key]) for key, pattern in rule.items() if key in keys)
    )
    return next(fitting)


def placement(objects: Objects) -> None:
    for name, pod in pods(objects).items():
        assert pod["spec"]["nodeSelector"] == {"kubernetes.io/arch": "amd64"}, name
        assert pod["spec"]["tolerations"][0]["key"] == "data", name
        assert "nodeAffinity" in pod["spec"]["affinity"], name
        assert pod["spec"]["priorityClassName"] == "system-cluster-critical", name


def extras(objects: Objects) -> None:
    assert [item["metadata"]["name"] for item in objects if item["metadata"]["labels"].get("team") != "data"] == []
    for name, pod in pods(objects).items():
        assert pod["metadata"]["labels"]["cost-centre"] == "42", name
        if name != "lakehouse-loader-test":
            assert pod["metadata"]["annotations"]["example.org/scrape"] == "no", name
    servers = (
        "lakehouse-postgresql",
        "lakehouse-minio",
        "lakehouse-metastore",
        "lakehouse-trino-coordinator",
        "lakehouse-loader-web",
        "lakehouse-superset",
    )
    for name in servers:
        container = pods(objects)[name]["spec"]["containers"][0]
        assert {"name": "TZ", "value": "Europe/Paris"} in container["env"], name
        assert {"name": "more", "mountPath": "/more"} in container["volumeMounts"], name
        assert {"name": "more", "emptyDir": {}} in pods(objects)[name]["spec"]["volumes"], name


def images(objects: Objects) -> None:
    assert [
        container["image"]
        for _, container in containers(objects)
        if not container["image"].startswith("registry.example.org/mirror/")
    ] == []
    assert all(pod["spec"]["imagePullSecrets"] == [{"name": "registry-password"}] for pod in pods(objects).values())
    # The property is called otherwise since Trino 481.
    assert "\nfs.s3.enabled=true" in configuration(objects, "trino-catalogs", "iceberg.properties")


def service_accounts(objects: Objects) -> None:
    assert "lakehouse-minio" not in names(objects, "ServiceAccount")
    assert pods(objects)["lakehouse-minio"]["spec"]["serviceAccountName"] == "object-store"
    made = named(objects, "ServiceAccount", "lakehouse-trino")
    assert made["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/trino"}


def existing_secrets(objects: Objects) -> None:
    of_others = {
        ("vault-postgresql", "root"), ("vault-metastore", "user"), ("vault-metastore", "secret"),
        ("vault-minio", "user"), ("vault-minio", "word"), ("vault-loader", "id"), ("vault-loader", "word"),
        ("vault-trino", ""), ("vault-trino", "access-key"), ("vault-trino", "secret-key"),
        ("vault-users", "htpasswd"), ("vault-users", "stop"), ("vault-users", "writer"), ("vault-users", "dashboards"),
        ("vault-key", "hash"), ("vault-superset", "admin"), ("vault-superset", "sign"), ("vault-superset", "guest"),
        ("vault-superset", "async"), ("vault-database", "password"), ("vault-database", "username"),
        ("vault-people", "dashboards.json"),
    }  # fmt: skip
    assert of_others <= secrets_used(objects)
    # Made are those of the users that were not given, the nodes' secret, and the certificate.
    made = {"minio-dashboards", "minio-landing", "trino", "trino-tls"}
    assert names(objects, "Secret") == {f"lakehouse-{name}" for name in made}


def tls_given(objects: Objects) -> None:
    assert "lakehouse-trino-tls" not in names(objects, "Secret")
    wanted = {("trino-certificate", key) for key in ("cert.pem", "key.pem", "chain.pem")}
    assert {(name, key) for name, key in secrets_used(objects) if name == "trino-certificate"} == wanted


def tls_cert_manager(objects: Objects) -> None:
    assert "lakehouse-trino-tls" not in names(objects, "Secret")
    wanted = named(objects, "Certificate", "lakehouse-trino")["spec"]
    assert wanted["issuerRef"] == {"name": "company", "kind": "ClusterIssuer"}
    assert {"trino.example.org", "localhost", "lakehouse-trino.lakehouse.svc"} <= set(wanted["dnsNames"])


def s3_authority(objects: Objects) -> None:
    assert ("company", "root.pem") in secrets_used(objects)
    store = "-Djavax.net.ssl.trustStore=/run/authorities/store"
    for component in ("coordinator", "worker"):
        assert store in configuration(objects, f"trino-{component}", "jvm.config").splitlines()
    made = pods(objects)
    for name in ("lakehouse-metastore", "lakehouse-trino-coordinator", "lakehouse-trino-worker"):
        assert "authority" in [container["name"] for container in made[name]["spec"]["initContainers"]], name
    [load] = made["lakehouse-loader-web"]["spec"]["containers"]
    assert {"name": "LAKEHOUSE_S3_CA_FILE", "value": "/run/secrets/s3/ca.crt"} in load["env"]
    [metastore] = made["lakehouse-metastore"]["spec"]["containers"]
    assert any(store in entry.get("value", "") for entry in metastore["env"] if entry["name"] == "JAVA_TOOL_OPTIONS")


def external_parts(objects: Objects) -> None:
    assert of_kind(objects, "StatefulSet") == []
    text = json.dumps(objects)
    assert "https://s3.example.org" in text
    assert not any(f"lakehouse-{part}" in text for part in ("postgresql", "minio", "metastore"))


def network(objects: Objects) -> None:
    rules = named(objects, "NetworkPolicy", "lakehouse-trino-coordinator")["spec"]["ingress"]
    (https,) = [rule for rule in rules if rule["ports"] == [{"port": "https"}]]
    assert {"podSelector": {"matchLabels": {"app": "reports"}}} in https["from"]
    assert not {name for name in names(objects, "NetworkPolicy") if "minio" in name}


def not_kept(objects: Objects) -> None:
    assert "resource-policy" not in json.dumps(objects)
    assert {item["spec"]["persistentVolumeClaimRetentionPolicy"]["whenDeleted"] for item in of_kind(objects, "StatefulSet")} == {
        "Delete"
    }


def workers(objects: Objects) -> None:
    deployment = named(objects, "Deployment", "lakehouse-trino-worker")["spec"]
    assert deployment["replicas"] == 3
    assert deployment["template"]["spec"]["terminationGracePeriodSeconds"] > 600
    assert deployment["template"]["spec"]["containers"][0]["resources"]["limits"] == {"memory": "8192Mi"}
    heap = 8192 - 8192 * 20 // 100
    assert f"-Xmx{heap}M" in configuration(objects, "trino-worker", "jvm.config")
    assert f"query.max-memory-per-node={heap // 2}MB" in configuration(objects, "trino-worker", "config.properties")
    assert f"query.max-memory={heap // 2 * 3}MB" in configuration(objects, "trino-coordinator", "config.properties").splitlines()


def no_workers(objects: Objects) -> None:
    assert named(objects, "Deployment", "lakehouse-trino-worker")["spec"]["replicas"] == 0
    configured = configuration(objects, "trino-coordinator", "config.properties").splitlines()
    assert "node-scheduler.include-coordinator=true" in configured
    [limit] = [line.partition("=")[2] for line in configured if line.startswith("query.max-memory-per-node=")]
    assert f"query.max-memory={limit}" in configured


def catalogs(objects: Objects) -> None:
    assert "connection-password=${ENV:ORDERS_PASSWORD}" in configuration(objects, "trino-catalogs", "orders.properties")
    assert ("orders", "password") in secrets_used(objects)
    assert "query.max-run-time=1h" in configuration(objects, "trino-worker", "config.properties")
    # What is private is so in every catalog, for analysts and for people that dashboards ask for.
    private = [{"name": name, "allow": False} for name in ("client_ip", "visitor", "user_name", "query_text")]
    for who in ({"group": "analyst"}, {"user": "otto"}):
        for catalog in ("iceberg", "hive", "orders"):
            rule = rule_for(objects, "tables", **who, catalog=catalog, table="visits")
            assert (rule["privileges"], rule["columns"]) == (["SELECT"], private), (who, catalog)
        assert rule_for(objects, "tables", **who, catalog="orders", table="visits_rejects")["privileges"] == []


def users(objects: Objects) -> None:
    assert configuration(objects, "trino-access", "groups.txt").splitlines() == [
        "admin:ann",
        "analyst:bob,superset",
        "writer:load",
    ]
    rules = json.loads(configuration(objects, "trino-access", "rules.json"))
    # In the name of people, but never of those who may write; the first rule that fits counts.
    assert rules["impersonation"] == [
        {"original_user": "superset", "new_user": "ann|load|shutdown", "allow": False},
        {"original_user": "superset", "new_user": "[a-z]+"},
    ]
    assert {"user": "[a-z]+", "allow": "read-only"} in rules["catalogs"]
    # Their own queries everybody may see and end, whatever the rules say.
    assert rule_for(objects, "queries", user="ann", group="admin")["allow"] == ["execute", "view", "kill"]
    for who in ({"group": "writer"}, {"group": "analyst"}, {"user": "otto"}):
        assert rule_for(objects, "queries", **who)["allow"] == ["execute"]
    assert {"name": "email", "allow": False} in [column for rule in rules["tables"] for column in rule.get("columns", [])]
    passwords = base64.b64decode(named(objects, "Secret", "lakehouse-trino-users")["data"]["password.db"]).decode()
    assert [line.split(":")[0] for line in passwords.splitlines()] == ["ann", "bob", "load", "shutdown", "superset"]


def sizes(objects: Objects) -> None:
    claim = named(objects, "StatefulSet", "lakehouse-postgresql")["spec"]["volumeClaimTemplates"][0]["spec"]
    assert claim["storageClassName"] == "fast"
    assert claim["resources"]["requests"]["storage"] == "50Gi"
    assert pods(objects)["lakehouse-postgresql"]["spec"]["containers"][0]["resources"]["limits"] == {"memory": "2Gi"}


def sources(objects: Objects) -> None:
    spec = named(objects, "CronJob", "lakehouse-loader-web")["spec"]
    assert (spec["schedule"], spec["timeZone"], spec["concurrencyPolicy"]) == ("30 2 * * *", "Europe/Paris", "Forbid")
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 3600
    arguments = pods(objects)["lakehouse-loader-web"]["spec"]["containers"][0]["args"]
    assert arguments == ["load", "access_logs", "s3://landing/web/*.gz", "--site", "rennes", "--format", "combined"]
    assert named(objects, "CronJob", "lakehouse-loader-api")["spec"]["suspend"] is True


def backfills(objects: Objects) -> None:
    jobs = {item["metadata"]["name"].rsplit("-", 1)[0]: item["spec"] for item in of_kind(objects, "Job")}
    shards, days = jobs["lakehouse-loader-shards"], jobs["lakehouse-loader-february"]
    assert (shards["completionMode"], shards["completions"], shards["parallelism"]) == ("Indexed", 2, 2)
    assert days["parallelism"] == days["completions"] == 3
    inputs = [f"s3://landing/web/{day}/*.gz" for day in ("2024-02-28", "2024-02-29", "2024-03-01")]
    assert days["template"]["spec"]["containers"][0]["args"] == ["access_logs", *inputs, "--site", "rennes"]


def superset(objects: Objects) -> None:
    deployment = named(objects, "Deployment", "lakehouse-superset")["spec"]
    assert deployment["replicas"] == 2
    [container] = deployment["template"]["spec"]["containers"]
    assert {"--workers=3", "--threads=4"} <= set(container["args"])
    environment = {entry["name"]: entry.get("value") for entry in container["env"]}
    assert environment["DASHBOARDS_REDIS"] == "redis://redis.example.org:6379/3"
    assert environment["DASHBOARDS_TLS"] == "true"
    assert ("redis", "word") in secrets_used(objects)
    # Passwords are for who makes users, not for who serves.
    assert not {"DASHBOARDS_ADMIN_PASSWORD", "DASHBOARDS_PASSWORDS"} & environment.keys()
    [prepare] = [pod["spec"]["containers"][0] for name, pod in pods(objects).items() if "superset-prepare" in name]
    for given in (environment, {entry["name"]: entry.get("value") for entry in prepare["env"]}):
        assert given["DASHBOARDS_TRINO_URI"] == "trino://superset@lakehouse-trino:8443"
        assert (given["DASHBOARDS_TRINO_CATALOG"], given["DASHBOARDS_TRINO_SCHEMA"]) == ("tables", "logs")
    assert {"name": "users", "mountPath": "/run/secrets/users"} in prepare["volumeMounts"]
    users = yaml.safe_load(configuration(objects, "superset-users", "users.yaml"))
    assert users == [
        {"name": "anna@example.org", "role": "viewer", "sites": ["rennes", "l'autre"]},
        {"name": "otto", "role": "analyst"},
    ]
    passwords = json.loads(base64.b64decode(named(objects, "Secret", "lakehouse-superset-users")["data"]["passwords.json"]))
    assert passwords.keys() == {"anna@example.org", "otto"} and all(len(password) == 32 for password in passwords.values())
    [egress] = [
        policy["spec"]["egress"] for policy in of_kind(objects, "NetworkPolicy") if policy["spec"]["policyTypes"] == ["Egress"]
    ]
    ports = [{port["port"] for port in rule["ports"]} for rule in egress]
    assert ports == [{53}, {5432}, {8443}, {6379}]
    assert all("to" in rule for rule in egress[1:])


def no_dashboards(objects: Objects) -> None:
    assert not {name for name in pods(objects) if "superset" in name or "sample" in name}
    assert any("views" in name for name in pods(objects))


CHECKS: tuple[Callable[[Objects], None], ...] = (
    placement, extras, images, service_accounts, existing_secrets, tls_given, tls_cert_manager, s3_authority, external_parts,
    network, not_kept, workers, no_workers, catalogs, users, sizes, sources, backfills, superset, no_dashboards,
)  # fmt: skip


def test_the_number_of_workers_changes_no_pod(helm: Helm) -> None:
    one, three = (pods(helm.rendered("trino", {"worker": {"replicas": number}})) for number in (1, 3))
    assert one == three


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_feature(helm: Helm, check: Callable[[Objects], None]) -> None:
    check(helm.rendered(values=VALUES / f"{check.__name__.replace('_', '-')}.yaml"))


def test_every_values_file_is_a_feature() -> None:
    assert {file.stem for file in VALUES.iterdir()} == {check.__name__.replace("_", "-") for check in CHECKS}
