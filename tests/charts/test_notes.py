"""What helm says at the end of an installation: its commands name Secrets, keys and users that there are."""

import re
import shutil
from typing import Any

import pytest

from tests.charts.conftest import NAME, VALUES, Helm, of_kind


@pytest.fixture(scope="module")
def noting(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The chart with one object more, which holds the notes: `helm template` does not print them."""
    chart = tmp_path_factory.mktemp("noting") / NAME
    shutil.copytree(helm.charts / NAME, chart)
    notes = f'kind: Notes\ntext: {{{{ include "{NAME}/templates/NOTES.txt" . | toJson }}}}\n'
    (chart / "templates" / "notes.yaml").write_text(notes, encoding="utf-8")
    return str(chart)


def keys_named(notes: str) -> set[tuple[str, str]]:
    """Secrets and keys that the commands read."""
    found = re.findall(r"get secret (\S+) --output jsonpath='\{\.data\.(.+?)\}'", notes)
    return {(secret, key.replace("\\.", ".")) for secret, key in found}


@pytest.mark.parametrize(
    ("values", "user"),
    [
        ({}, "admin"),
        (VALUES / "users.yaml", "ann"),
        ({"trino": {"auth": {"users": {"admin": "analyst", "zoe.b": "admin"}}}}, "zoe.b"),
        ({"trino": {"auth": {"users": {"admin": None}}}}, "analyst"),
    ],
    ids=["no values", "another admin", "a name with a dot", "no admin"],
)
def test_the_commands_name_what_there_is(helm: Helm, noting: str, values: Any, user: str) -> None:
    objects = helm.rendered(noting, values)
    [notes] = [item["text"] for item in of_kind(objects, "Notes")]
    assert f"as the user {user}:" in notes
    assert f"--user {user} --password" in notes
    made = {(item["metadata"]["name"], key) for item in of_kind(objects, "Secret") for key in item["data"]}
    assert keys_named(notes) == {(f"{NAME}-trino-users", user), (f"{NAME}-superset", "admin-password")} <= made


def test_passwords_of_ones_own_are_asked_for(helm: Helm, noting: str) -> None:
    [notes] = [item["text"] for item in of_kind(helm.rendered(noting, VALUES / "existing-secrets.yaml"), "Notes")]
    assert keys_named(notes) == {("vault-superset", "admin")}
    assert "The password of admin, whose hash is in the Secret vault-users: " in notes


@pytest.mark.parametrize("enabled", [True, False])
def test_the_test_is_named_where_there_is_one(helm: Helm, noting: str, enabled: bool) -> None:
    [notes] = [item["text"] for item in of_kind(helm.rendered(noting, {"loader": {"test": {"enabled": enabled}}}), "Notes")]
    assert (f"helm --namespace {NAME} test {NAME}" in notes) is enabled
