"""What the node of the cluster tests makes of NetworkPolicies."""

import shutil
import subprocess
from typing import Any

import pytest

from tests.cluster.node.policies import ruleset, selects

DATABASE = {"app": "database"}
NAMESPACES = [
    {"metadata": {"name": "here", "labels": {"team": "one"}}},
    {"metadata": {"name": "there", "labels": {"team": "two"}}},
]


def pod(address: str, labels: dict[str, str], namespace: str = "here", **spec: Any) -> dict[str, Any]:
    """A running pod with a named port."""
    containers = [{"ports": [{"name": "sql", "containerPort": 5432}]}]
    return {
        "metadata": {"namespace": namespace, "labels": labels},
        "spec": {"containers": containers, **spec},
        "status": {"phase": "Running", "podIP": address},
    }


PODS = [
    pod("10.0.0.1", DATABASE),
    pod("10.0.0.2", {"role": "client"}),
    pod("10.0.0.3", {"role": "client"}, "there"),
    pod("10.0.0.4", {}),
]


def accepted(*ingress: dict[str, Any], pods: list[dict[str, Any]] = PODS, **spec: Any) -> list[str] | None:
    """What comes in to the database under a policy; None if everything does."""
    policy = {
        "metadata": {"namespace": "here"},
        "spec": {"podSelector": {"matchLabels": DATABASE}, "policyTypes": ["Ingress"], "ingress": list(ingress), **spec},
    }
    rules = ruleset([policy], pods, NAMESPACES)
    if "jump" not in rules:
        return None
    assert rules.count("jump to-10.0.0.1") == rules.count("jump") == 1
    chain = rules.split("chain to-10.0.0.1 {\n")[1].split("}\n")[0].splitlines()
    own, *others, last = (line.strip() for line in chain if line.strip())
    assert (own, last) == ("ip saddr 10.0.0.1 accept", "drop")
    return [line.removesuffix("accept").strip() for line in others]


CLIENTS = {"podSelector": {"matchLabels": {"role": "client"}}}
TWO = {"namespaceSelector": {"matchLabels": {"team": "two"}}}


@pytest.mark.parametrize(
    ("entry", "rules"),
    [
        ({}, [""]),
        ({"from": [CLIENTS]}, ["ip saddr 10.0.0.2"]),
        ({"from": [TWO]}, ["ip saddr 10.0.0.3"]),
        ({"from": [{"namespaceSelector": {}, **CLIENTS}]}, ["ip saddr 10.0.0.2", "ip saddr 10.0.0.3"]),
        ({"from": [{"podSelector": {"matchLabels": {"role": "nobody"}}}]}, []),
        ({"from": [{"ipBlock": {"cidr": "10.1.0.0/16"}}]}, ["ip saddr 10.1.0.0/16"]),
        (
            {"from": [{"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.2.0/24", "10.1.3.0/24"]}}]},
            ["ip saddr 10.1.0.0/16 ip saddr != { 10.1.2.0/24, 10.1.3.0/24 }"],
        ),
        ({"ports": [{"port": "sql"}]}, ["tcp dport 5432"]),
        ({"ports": [{"port": "sql", "protocol": "UDP"}]}, []),
        ({"ports": [{"port": "unknown"}]}, []),
        ({"ports": [{"port": 53, "protocol": "UDP"}, {"port": 80, "endPort": 90}]}, ["tcp dport 80-90", "udp dport 53"]),
        ({"ports": [{"protocol": "UDP"}]}, ["meta l4proto udp"]),
        ({"ports": [{"port": 5432}], "from": [CLIENTS]}, ["ip saddr 10.0.0.2 tcp dport 5432"]),
    ],
)
def test_what_comes_in(entry: dict[str, Any], rules: list[str]) -> None:
    assert accepted(entry) == rules


def test_a_policy_without_rules_lets_nothing_in() -> None:
    assert accepted() == []


def test_a_policy_for_what_goes_out_closes_nothing() -> None:
    assert accepted(policyTypes=["Egress"]) is None


def test_an_address_that_a_pod_no_longer_has_is_nobodys() -> None:
    ended = pod("10.0.0.2", {"role": "client"}) | {"status": {"phase": "Succeeded", "podIP": "10.0.0.2"}}
    of_the_node = pod("10.0.0.9", {"role": "client"}, hostNetwork=True)
    assert accepted({"from": [CLIENTS]}, pods=[PODS[0], ended, of_the_node]) == []


@pytest.mark.parametrize(
    ("operator", "values", "met"),
    [
        ("In", ["a", "b"], [True, False, False]),
        ("NotIn", ["a", "b"], [False, True, True]),
        ("Exists", [], [True, True, False]),
        ("DoesNotExist", [], [False, False, True]),
    ],
)
def test_expressions(operator: str, values: list[str], met: list[bool]) -> None:
    selector = {"matchExpressions": [{"key": "tier", "operator": operator, "values": values}]}
    assert [selects(selector, labels) for labels in ({"tier": "a"}, {"tier": "c"}, {})] == met


def test_nft_takes_them() -> None:
    nft = shutil.which("nft", path="/usr/sbin:/sbin:/usr/bin:/bin")
    if nft is None:
        pytest.skip("nft is not here: apt-get install nftables")
    peers = [CLIENTS, {"ipBlock": {"cidr": "10.1.0.0/16", "except": ["10.1.2.0/24", "10.1.3.0/24"]}}]
    ports = [{"port": "sql"}, {"port": 80, "endPort": 90}, {"protocol": "UDP"}]
    policy = {"metadata": {"namespace": "here"}, "spec": {"podSelector": {}, "ingress": [{}, {"from": peers, "ports": ports}]}}
    alone = ["unshare", "--user", "--map-root-user", "--net"]
    rules = ruleset([policy], PODS, NAMESPACES)
    done = subprocess.run([*alone, nft, "--file", "-"], input=rules, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
