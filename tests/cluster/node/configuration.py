"""Configuration files and command lines of the node's components."""

import json
import sys
from pathlib import Path
from typing import Any

from tests.cluster.node.certificates import CLIENTS, write_kubeconfig
from tests.cluster.node.places import DNS_ADDRESS, NODE, NODE_ADDRESS, POD_NETWORK, SERVICE_NETWORK, Places

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "node.local/pause:1"
API_PORT = 6443
_ETCD = "http://127.0.0.1:2379"
_ETCD_PEERS = "http://127.0.0.1:2380"


def write_configuration(places: Places) -> None:
    """Write the components' configuration into `places.state`, which holds the cluster's keys."""
    state = places.state
    certificates = state / "certificates"
    for client in CLIENTS:
        write_kubeconfig(state / f"{client}.kubeconfig", certificates, client, f"https://127.0.0.1:{API_PORT}")
    # Names of the outside do not exist in here.
    (state / "resolv.conf").touch()
    (state / "cni").mkdir(exist_ok=True)
    _write_json(state / "cni" / "10-pods.conflist", _network())
    _write_json(state / "kubelet.json", _kubelet(places))
    _write_json(state / "kube-proxy.json", _kube_proxy(state))
    (state / "containerd.toml").write_text(_containerd(places), encoding="utf-8")


def commands(places: Places, programs: Path) -> dict[str, list[str]]:
    """Command line of each component, by its name, in the order in which they are started.

    Args:
        places: of the node.
        programs: a folder with the components of Kubernetes by their names.
    """
    state = places.state
    certificates = state / "certificates"
    return {
        "containerd": ["containerd", "--config", f"{state}/containerd.toml"],
        "etcd": [
            f"{programs}/etcd",
            "--name=node",
            f"--data-dir={state}/etcd",
            f"--listen-client-urls={_ETCD}",
            f"--advertise-client-urls={_ETCD}",
            f"--listen-peer-urls={_ETCD_PEERS}",
            f"--initial-advertise-peer-urls={_ETCD_PEERS}",
            f"--initial-cluster=node={_ETCD_PEERS}",
            "--log-level=warn",
        ],
        "kube-apiserver": [
            f"{programs}/kube-apiserver",
            f"--etcd-servers={_ETCD}",
            f"--advertise-address={NODE_ADDRESS}",
            "--bind-address=0.0.0.0",
            f"--secure-port={API_PORT}",
            f"--service-cluster-ip-range={SERVICE_NETWORK}",
            "--authorization-mode=Node,RBAC",
            "--enable-admission-plugins=NodeRestriction",
            "--allow-privileged=true",
            f"--client-ca-file={certificates}/ca.crt",
            f"--tls-cert-file={certificates}/apiserver.crt",
            f"--tls-private-key-file={certificates}/apiserver.key",
            f"--kubelet-client-certificate={certificates}/apiserver-kubelet-client.crt",
            f"--kubelet-client-key={certificates}/apiserver-kubelet-client.key",
            f"--kubelet-certificate-authority={certificates}/ca.crt",
            "--kubelet-preferred-address-types=InternalIP",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={certificates}/service-accounts.key",
            f"--service-account-signing-key-file={certificates}/service-accounts.key",
        ],
        "kubelet": [
            f"{programs}/kubelet",
            f"--config={state}/kubelet.json",
            f"--kubeconfig={state}/kubelet.kubeconfig",
            f"--hostname-override={NODE}",
            f"--node-ip={NODE_ADDRESS}",
            f"--root-dir={state}/kubelet",
        ],
        "kube-controller-manager": [
            *_client_command(state, programs, "kube-controller-manager"),
            f"--service-account-private-key-file={certificates}/service-accounts.key",
            f"--root-ca-file={certificates}/ca.crt",
            "--use-service-account-credentials=true",
            f"--cluster-signing-cert-file={certificates}/ca.crt",
            f"--cluster-signing-key-file={certificates}/ca.key",
            "--pvclaimbinder-sync-period=1s",
            f"--flex-volume-plugin-dir={state}/volume-plugins",
        ],
        "kube-scheduler": _client_command(state, programs, "kube-scheduler"),
        "kube-proxy": [f"{programs}/kube-proxy", f"--config={state}/kube-proxy.json"],
        "policy-controller": [sys.executable, "-m", "tests.cluster.node.policy_controller"],
    }


def _client_command(state: Path, programs: Path, name: str) -> list[str]:
    login = f"{state}/{name}.kubeconfig"
    return [
        f"{programs}/{name}",
        f"--kubeconfig={login}",
        f"--authentication-kubeconfig={login}",
        f"--authorization-kubeconfig={login}",
        # There is one of each, and an election would only delay it.
        "--leader-elect=false",
    ]


def _network() -> dict[str, Any]:
    addresses = {"type": "host-local", "ranges": [[{"subnet": POD_NETWORK}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True}
    plugins = [bridge | {"ipam": addresses | {"dataDir": "/run/pod-addresses"}}, ports]
    return {"cniVersion": "1.0.0", "name": "pods", "plugins": plugins}


def _kubelet(places: Places) -> dict[str, Any]:
    certificates = places.state / "certificates"
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(certificates / "ca.crt")},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(certificates / "kubelet-server.crt"),
        "tlsPrivateKeyFile": str(certificates / "kubelet-server.key"),
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": places.cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        "clusterDNS": [DNS_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": str(places.state / "resolv.conf"),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        # The disk is the developer's own, and others fill and empty it meanwhile: 0 % means that the kubelet does not care.
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "0%",
            "imagefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.inodesFree": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "syncFrequency": "5s",
        "nodeStatusUpdateFrequency": "5s",
        "serializeImagePulls": False,
        "volumePluginDir": str(places.state / "volume-plugins"),
    }


def _kube_proxy(state: Path) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "iptables",
        "clusterCIDR": POD_NETWORK,
        "clientConnection": {"kubeconfig": str(state / "kube-proxy.kubeconfig")},
        "hostnameOverride": NODE,
        # The kernel's limits are the machine's own.
        "conntrack": {"maxPerCore": 0, "min": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
    }


def _containerd(places: Places) -> str:
    return f"""version = 2
root = "{places.containerd}"
state = "/run/containerd"
[grpc]
address = "{CONTAINERD_SOCKET}"
[plugins."io.containerd.internal.v1.opt"]
path = "{places.state}/opt"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{PAUSE_IMAGE}"
# Where the capability to lower a process's out-of-memory score is missing, no container would start.
restrict_oom_score_adj = true
[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{places.state}/cni"
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "overlayfs"
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""


def _write_json(target: Path, content: dict[str, Any]) -> None:
    target.write_text(json.dumps(content, indent=2), encoding="utf-8")
