"""A part of the lakehouse is killed in the middle of a load: the load ends well or says why, and the next one puts it right."""

import pytest

from tests.cluster.conftest import landing_client
from tests.cluster.loads import Load, put_log, rows_of
from tests.cluster.tools import CommandFailedError, Release, all_ready, until

pytestmark = pytest.mark.cluster
LINES = 50
SOURCE = ("--source=s",)
SERVERS = "app.kubernetes.io/component in (server,coordinator,worker)"
"""Pods that always run, and not those of jobs."""
PARTS = {part: f"app.kubernetes.io/name={part},{SERVERS}" for part in ("minio", "metastore", "postgresql", "trino")}
STEPS = ("intent declared", "staged", "commit prepared")
IN_EVERY_RUN = {("minio", "staged")}


def kill(release: Release, selector: str) -> set[str]:
    """Kill pods at once, without a chance to end in order; returns their uids."""
    killed = {pod["metadata"]["uid"] for pod in release.objects("pods", selector)}
    assert killed
    release.kubectl("delete", "pod", "--selector", selector, "--grace-period=0", "--force")
    return killed


def wait_until_back(release: Release, killed: set[str], selector: str) -> None:
    """Wait until as many other pods have taken the place of those that were killed, and all is ready."""

    def back() -> bool:
        now = {pod["metadata"]["uid"] for pod in release.objects("pods", selector)}
        return len(now) >= len(killed) and not now & killed and all_ready(release)

    until(back, "the pods that were killed are back")


def stopped_load(release: Release, site: str, step: str) -> Load:
    """A load of the second of two logs, stopped at a step; the first is loaded."""
    with landing_client(release) as landing:
        for number, name in enumerate(("before", "during")):
            put_log(landing, f"{site}/{name}.log", number * LINES, LINES)
    Load(release, f"{site}-before", site, f"{site}/before.log", options=SOURCE).finish()
    load = Load(release, site, site, f"{site}/during.log", step, options=SOURCE)
    load.wait_until_stopped()
    return load


def check_sentence(release: Release, load: Load, said: str) -> None:
    """Whether a load that failed said so in one sentence."""
    print(f"\n{said}")
    # A pod that failed is never ready: if it stayed, the tests after this one would wait for it in vain.
    release.kubectl("delete", "job", load.name)
    assert said.count("\nlakehouse: ") == 1
    assert "Traceback" not in said


def check_rows_after_another_load(release: Release, site: str) -> None:
    """Whether each line of both logs is there once, however the load before has ended."""
    assert " unchanged " in Load(release, f"{site}-again", site, f"{site}/*.log", options=SOURCE).finish()
    assert rows_of(release, site) == [2 * LINES, 2 * LINES, 2 * LINES]


@pytest.mark.parametrize(
    ("part", "step"),
    [
        pytest.param(part, step, marks=[] if (part, step) in IN_EVERY_RUN else [pytest.mark.long])
        for part in PARTS
        for step in STEPS
    ],
)
def test_a_part_killed_in_the_middle_of_a_load(configured: Release, part: str, step: str) -> None:
    load = stopped_load(configured, f"killed-{part}-{step}".replace(" ", "-"), step)
    killed = kill(configured, PARTS[part])
    load.let_go()
    try:
        load.finish()
    except CommandFailedError as failed:
        check_sentence(configured, load, str(failed))
    wait_until_back(configured, killed, PARTS[part])
    check_rows_after_another_load(configured, load.site)


@pytest.mark.long
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("part", ["statefulset/{}-minio", "deployment/{}-metastore", "statefulset/{}-postgresql"])
def test_a_part_that_stays_away_ends_the_load(configured: Release, part: str, step: str) -> None:
    what = part.format(configured.name)
    load = stopped_load(configured, f"away-{part.rpartition('-')[2]}-{step}".replace(" ", "-"), step)
    configured.kubectl("scale", what, "--replicas=0")
    selector = PARTS[part.rpartition("-")[2]]
    until(lambda: not configured.objects("pods", selector), f"{what} is away")
    try:
        load.let_go()
        with pytest.raises(CommandFailedError) as failed:
            load.finish()
        check_sentence(configured, load, str(failed.value))
    finally:
        configured.kubectl("scale", what, "--replicas=1")
        until(lambda: configured.objects("pods", selector) and all_ready(configured), f"{what} is back")
    check_rows_after_another_load(configured, load.site)


@pytest.mark.long
def test_every_pod_in_turn_then_all_at_once(configured: Release) -> None:
    with landing_client(configured) as landing:
        put_log(landing, "turns/0.log", 0, LINES)
    Load(configured, "turns-0", "turns", "turns/*.log", options=SOURCE).finish()
    # Trino's two are killed one after the other; at the end all pods there are, at once.
    trino = [f"app.kubernetes.io/component={component}" for component in ("coordinator", "worker")]
    selectors = [PARTS["minio"], PARTS["metastore"], PARTS["postgresql"], *trino, SERVERS]
    for number, selector in enumerate(selectors, 1):
        wait_until_back(configured, kill(configured, selector), selector)
        rows = number * LINES
        assert rows_of(configured, "turns") == [rows, rows, rows]
        with landing_client(configured) as landing:
            put_log(landing, f"turns/{number}.log", rows, LINES)
        Load(configured, f"turns-{number}", "turns", "turns/*.log", options=SOURCE).finish()
        assert rows_of(configured, "turns") == [rows + LINES, rows + LINES, rows + LINES]
