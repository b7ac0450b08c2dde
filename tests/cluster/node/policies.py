"""NetworkPolicies as nftables rules: who may come in to which pod, on which port.

Semantics: https://kubernetes.io/docs/concepts/services-networking/network-policies/. Egress rules are not enforced, and what the
node itself sends to pods (probes) is let through.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Object = Mapping[str, Any]
TABLE = "policies"


def ruleset(policies: Sequence[Object], pods: Sequence[Object], namespaces: Sequence[Object]) -> str:
    """Input for `nft --file`, which replaces all rules in one step.

    Args:
        policies: NetworkPolicies of all namespaces, as the API tells them; pods and namespaces likewise.
        pods: of all namespaces; those without an address of their own are left out.
        namespaces: with their labels.
    """
    living = [pod for pod in pods if _has_address(pod)]
    labels = {namespace["metadata"]["name"]: namespace["metadata"].get("labels", {}) for namespace in namespaces}
    chains = {}
    for pod in living:
        selecting = [policy for policy in policies if _isolates(policy, pod)]
        if selecting:
            rules = [
                rule
                for policy in selecting
                for entry in policy["spec"].get("ingress") or []
                for rule in _rules(entry, policy["metadata"]["namespace"], pod, living, labels)
            ]
            chains[pod["status"]["podIP"]] = sorted(set(rules))
    # The table is named twice, because only one that exists can be deleted.
    lines = [f"table ip {TABLE}", f"delete table ip {TABLE}", f"table ip {TABLE} {{"]
    for address, rules in sorted(chains.items()):
        # A pod always reaches itself, through a service too.
        lines += [f"  chain to-{address} {{", f"    ip saddr {address} accept", *(f"    {rule} accept" for rule in rules)]
        lines += ["    drop", "  }"]
    lines += ["  chain forward {", "    type filter hook forward priority filter", "    ct state established,related accept"]
    lines += [f"    ip daddr {address} jump to-{address}" for address in sorted(chains)]
    return "\n".join([*lines, "  }", "}", ""])


def _has_address(pod: Object) -> bool:
    """Whether a pod has an address that nobody else has: those of ended pods are given to others."""
    ended = pod["status"].get("phase") in ("Succeeded", "Failed")
    return bool(pod["status"].get("podIP")) and not pod["spec"].get("hostNetwork") and not ended


def _isolates(policy: Object, pod: Object) -> bool:
    return (
        "Ingress" in policy["spec"].get("policyTypes", ["Ingress"])
        and policy["metadata"]["namespace"] == pod["metadata"]["namespace"]
        and selects(policy["spec"].get("podSelector", {}), pod["metadata"].get("labels", {}))
    )


def selects(selector: Object, labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    for expression in selector.get("matchExpressions", []):
        value = labels.get(expression["key"])
        met = {
            "In": value in expression.get("values", []),
            "NotIn": value not in expression.get("values", []),
            "Exists": value is not None,
            "DoesNotExist": value is None,
        }
        if not met[expression["operator"]]:
            return False
    return True


def _rules(
    entry: Object, namespace: str, pod: Object, pods: Sequence[Object], namespaces: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """What nft has to match for one entry of a policy's `ingress`: every peer on every port."""
    ports = [_port(port, pod) for port in entry["ports"]] if entry.get("ports") else [""]
    peers = list(_peers(entry["from"], namespace, pods, namespaces)) if entry.get("from") else [""]
    for peer in peers:
        for port in ports:
            if port is not None:
                yield f"{peer} {port}".strip()


def _port(port: Object, pod: Object) -> str | None:
    """A port as nft matches it; None for a name that the pod does not have."""
    protocol = port.get("protocol", "TCP")
    number = port.get("port")
    if number is None:
        return f"meta l4proto {protocol.lower()}"
    if isinstance(number, str):
        # Sidecars are initContainers that stay.
        containers = [*pod["spec"]["containers"], *pod["spec"].get("initContainers", [])]
        named = {
            (exposed.get("name"), exposed.get("protocol", "TCP")): exposed["containerPort"]
            for container in containers
            for exposed in container.get("ports", [])
        }
        number = named.get((number, protocol))
        if number is None:
            return None
    last = port.get("endPort")
    return f"{protocol.lower()} dport {number}" + (f"-{last}" if last else "")


def _peers(
    peers: Sequence[Object], namespace: str, pods: Sequence[Object], namespaces: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    """Those who may come in, as nft matches them."""
    for peer in peers:
        if "ipBlock" in peer:
            refused = peer["ipBlock"].get("except")
            yield f"ip saddr {peer['ipBlock']['cidr']}" + (f" ip saddr != {{ {', '.join(refused)} }}" if refused else "")
            continue
        for pod in pods:
            own = pod["metadata"]["namespace"]
            there = (
                selects(peer["namespaceSelector"], namespaces.get(own, {})) if "namespaceSelector" in peer else own == namespace
            )
            if there and selects(peer.get("podSelector", {}), pod["metadata"].get("labels", {})):
                yield f"ip saddr {pod['status']['podIP']}"
