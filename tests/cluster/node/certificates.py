"""The keys of a cluster: an authority, certificates of all parts, and files to log in with."""

import datetime
import json
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from tests.cluster.node.places import API_ADDRESS, NODE, NODE_ADDRESS

LIFETIME = datetime.timedelta(days=3650)
API_NAMES = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
CLIENTS = {
    "admin": ("admin", "system:masters"),
    "kube-controller-manager": ("system:kube-controller-manager", ""),
    "kube-proxy": ("system:kube-proxy", ""),
    "kube-scheduler": ("system:kube-scheduler", ""),
    "kubelet": (f"system:node:{NODE}", "system:nodes"),
}
"""Who logs in at the API server: name of the files to user and group, as Kubernetes' own roles expect them."""


class Authority:
    """Signs certificates; its own is `ca.crt` in the folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = _new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test cluster")])
        constraints = x509.BasicConstraints(ca=True, path_length=None)
        self._certificate = (
            self._builder(self._name, self._key).add_extension(constraints, critical=True).sign(self._key, hashes.SHA256())
        )
        _write(folder, "ca", self._key, self._certificate)

    def issue(self, file: str, user: str, group: str = "", names: tuple[str, ...] = (), addresses: tuple[str, ...] = ()) -> None:
        """Write `FILE.crt` and `FILE.key` for a user, or for a server with these names and addresses."""
        attributes = [x509.NameAttribute(NameOID.COMMON_NAME, user)]
        if group:
            attributes.insert(0, x509.NameAttribute(NameOID.ORGANIZATION_NAME, group))
        key = _new_key()
        uses = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        builder = self._builder(x509.Name(attributes), key).add_extension(uses, critical=False)
        hosts = [*map(x509.DNSName, names), *(x509.IPAddress(ip_address(address)) for address in addresses)]
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        _write(self._folder, file, key, builder.sign(self._key, hashes.SHA256()))

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + LIFETIME)
        )


def write_certificates(folder: Path) -> None:
    """Write all certificates and keys of the cluster into a folder, which is there only when it is complete."""
    complete, folder = folder, folder.with_suffix(".partial")
    folder.mkdir(parents=True, mode=0o700)
    authority = Authority(folder)
    authority.issue("apiserver", "kube-apiserver", names=API_NAMES, addresses=("127.0.0.1", API_ADDRESS, NODE_ADDRESS))
    authority.issue("apiserver-kubelet-client", "kube-apiserver-kubelet-client", "system:masters")
    authority.issue("kubelet-server", NODE, names=(NODE,), addresses=(NODE_ADDRESS,))
    for file, (user, group) in CLIENTS.items():
        authority.issue(file, user, group)
    accounts = _new_key()
    _write_key(folder, "service-accounts", accounts)
    folder.rename(complete)


def write_kubeconfig(target: Path, certificates: Path, client: str, server: str) -> None:
    """Write a file by which a client logs in at the API server; JSON is YAML too."""
    user = {"client-certificate": str(certificates / f"{client}.crt"), "client-key": str(certificates / f"{client}.key")}
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": str(certificates / "ca.crt")}}],
        "users": [{"name": client, "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": client}}],
        "current-context": "test",
    }
    target.write_text(json.dumps(content, indent=2), encoding="utf-8")
    target.chmod(0o600)


def _new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def _write(folder: Path, file: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    (folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    _write_key(folder, file, key)


def _write_key(folder: Path, file: str, key: ec.EllipticCurvePrivateKey) -> None:
    path = folder / f"{file}.key"
    path.touch(mode=0o600)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
    )
