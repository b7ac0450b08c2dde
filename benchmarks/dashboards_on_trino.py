"""The same dashboards over as many rows on Trino: the chart as it is installed with no values, on the node of the tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.dashboard_times import Served, dashboards_report
from benchmarks.dashboards import fill_access_logs
from benchmarks.options import Options
from benchmarks.report import Report
from lakehouse.errors import LakehouseError
from lakehouse.sample.fill import fill

GOAL = 4000


def run(options: Options) -> list[Report]:
    """Measure; see docs/benchmarks.md."""
    with _serving(options) as (served, rows):
        return [dashboards_report("dashboards-on-trino", f"on Trino over {rows}", served, options, GOAL)]


@contextmanager
def _serving(options: Options) -> Iterator[tuple[Served, str]]:
    """A release on a node of our own, and what it was filled with."""
    try:
        from tests.cluster.clusters import own_node, start_cluster
        from tests.cluster.node.node import NodeError
        from tests.cluster.outside import outside_settings
        from tests.cluster.tools import Release, all_ready, packaged, until
    except ImportError as error:
        raise LakehouseError(f"{error}: run this in the repository's folder, after make lint") from error
    try:
        with own_node() as node:
            cluster = start_cluster(node)
            release = Release(cluster, "lakehouse", "default")
            cluster.helm("install", release.name, str(packaged(cluster, options.folder)), "--set=loader.sample.enabled=false")
            until(lambda: all_ready(release), "all pods ready")
            for job in ("superset-prepare", "loader-views"):
                release.finished_job(release.job_of(job))
            with outside_settings(release, options.folder) as settings:
                rows = fill_access_logs(settings, options)
                fill(settings)  # the other dataset's sample; this one has logs of other sources
            [service] = release.objects("services", "app.kubernetes.io/name=superset")

            def forget() -> None:
                release.kubectl("exec", f"deploy/{release.name}-superset", "--", "sh", "-c",
                    'rm -rf "$DASHBOARDS_STATE"/cache/data/*')  # fmt: skip

            password = release.secret("superset", "admin-password")
            with node.port_of(service["spec"]["clusterIP"], 8088) as port:
                yield Served(f"http://127.0.0.1:{port}", password, options.folder, forget), rows
    except NodeError as error:
        raise LakehouseError(str(error)) from error
