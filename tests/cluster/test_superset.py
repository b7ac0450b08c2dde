"""The dashboards of the release, on Trino: populated right after the installation, through the service."""

import json
import math
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests

from tests.browser.conftest import PYTHON, serving
from tests.browser.pages import SCREENSHOTS, browser_page, log_in, open_dashboard, open_tab, problems
from tests.cluster.tools import PROJECT, Release, conditions, until
from tests.s3server import S3Server
from tests.support.charts import Rows, Superset

pytestmark = pytest.mark.cluster
EVERY_ROW = 100_000
SERVERS = "app.kubernetes.io/name=superset,app.kubernetes.io/component=server"


@contextmanager
def dashboards(release: Release) -> Iterator[str]:
    """Address of the dashboards, for as long as their pod lives."""
    release.finished_job(release.job_of("superset-prepare"))
    release.finished_job(release.job_of("loader-views"))
    release.finished_job(release.job_of("loader-sample"))
    with release.port_forward(f"svc/{release.name}-superset", 8088) as port:
        yield f"http://127.0.0.1:{port}"


@contextmanager
def without_samples(release: Release) -> Iterator[Superset]:
    """The dashboards as their user `admin` sees them, who logs in by the password that the Secret holds; there may be no rows."""
    release.finished_job(release.job_of("superset-prepare"))
    with release.port_forward(f"svc/{release.name}-superset", 8088) as port:
        yield administrator(release, f"http://127.0.0.1:{port}")


def administrator(release: Release, address: str) -> Superset:
    return Superset(address, "admin", release.secret("superset", "admin-password"))


def ready(release: Release) -> bool:
    pods = release.objects("pods", SERVERS)
    return bool(pods) and all("Ready" in conditions(pod) for pod in pods)


def assert_populated(superset: Superset, slug: str) -> None:
    charts = superset.charts(slug)
    assert charts
    assert not [name for name, rows in charts.items() if not rows or all(value is None for value in rows[0].values())]


@pytest.mark.long
@pytest.mark.parametrize("slug", ["geo-services", "classification-api", "lakehouse-health"])
def test_every_chart_of_the_other_dashboards_shows_something(release: Release, slug: str) -> None:
    with dashboards(release) as address:
        superset = administrator(release, address)
        assert slug in superset.dashboards()
        assert_populated(superset, slug)


def test_every_chart_shows_something(release: Release) -> None:
    with dashboards(release) as address:
        superset = administrator(release, address)
        assert_populated(superset, "web-traffic")
        [tile] = superset.charts("web-traffic")["Hits"]
    [[hits]] = release.trino(
        "SELECT sum(hits) FROM access_logs_traffic WHERE hour >= CAST(current_date - INTERVAL '19' DAY AS timestamp)"
    )
    assert tile == {"hits": hits}


def test_anonymous_sees_nothing(release: Release) -> None:
    with dashboards(release) as address:
        for path in ("/api/v1/dashboard/", "/api/v1/chart/", "/api/v1/dashboard/web-traffic/charts"):
            answer = requests.get(f"{address}{path}", timeout=60)
            assert answer.status_code in (401, 403, 404) or answer.json().get("count") == 0, path
        assert "/login/" in requests.get(f"{address}/superset/dashboard/web-traffic/", timeout=60).url


@pytest.mark.long
def test_prepared_twice_doubles_nothing(release: Release) -> None:
    with dashboards(release) as address:
        superset = administrator(release, address)
        before = superset.counts()
        release.run_again("superset-prepare", "prepare-again")
        assert superset.counts() == before
        assert before["database"] == 1


@pytest.mark.long
def test_another_pod_takes_its_place(release: Release) -> None:
    before = {pod["metadata"]["uid"] for pod in release.objects("pods", SERVERS)}
    release.kubectl("delete", "pods", "--selector", SERVERS, "--wait")
    until(lambda: ready(release), "the dashboards are ready")
    assert not before & {pod["metadata"]["uid"] for pod in release.objects("pods", SERVERS)}
    with dashboards(release) as address:
        assert_populated(administrator(release, address), "web-traffic")


@pytest.mark.long
def test_without_its_database_it_is_not_ready_and_with_it_again(release: Release) -> None:
    database = f"statefulset/{release.name}-postgresql"
    until(lambda: ready(release), "the dashboards are ready")
    release.kubectl("scale", database, "--replicas=0")
    try:
        until(lambda: not ready(release), "the dashboards are not ready")
    finally:
        release.kubectl("scale", database, "--replicas=1")
    until(lambda: ready(release), "the dashboards are ready again")


@pytest.mark.long
@pytest.mark.browser
def test_every_dashboard_in_a_browser(release: Release, tmp_path: Path) -> None:
    with dashboards(release) as address, browser_page(tmp_path / "profile") as (page, outside):
        superset = administrator(release, address)
        log_in(page, address, "admin", release.secret("superset", "admin-password"))
        SCREENSHOTS.mkdir(parents=True, exist_ok=True)
        for slug in superset.dashboards():
            tabs = superset.tabs(slug)
            open_dashboard(page, address, slug, tabs)
            for place, name in enumerate(tabs, 1):
                open_tab(page, tabs, name)
                page.screenshot(path=SCREENSHOTS / f"trino-{slug}-{place}.png", full_page=True)
                assert problems(page) == [], name
        assert outside == set()


@pytest.fixture(scope="module")
def on_duckdb(release: Release, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Superset]:
    """The dashboards here, on DuckDB over a copy of the same tables: a forwarded port stalls under so many questions."""
    with release.port_forward(f"svc/{release.name}-minio", 9000) as store:
        copy_warehouse(session(release, store).client("s3", endpoint_url=f"http://127.0.0.1:{store}"), s3.client())
    home = tmp_path_factory.mktemp("dashboards")
    with serving(home, DASHBOARDS_TABLES="s3://warehouse/lakehouse", **s3.environment()) as made:
        yield Superset(made.address, "admin", made.password)


def session(release: Release, port: int) -> boto3.Session:
    """A session with a token, which the object store gives whoever has keys."""
    keys = [release.secret("minio-loader", key) for key in ("access-key", "secret-key")]
    client = boto3.client(
        "sts",
        endpoint_url=f"http://127.0.0.1:{port}",
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
        region_name="us-east-1",
    )
    given = client.assume_role(RoleArn="arn:aws:iam::000000000000:role/any", RoleSessionName="dashboards")["Credentials"]
    return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], region_name="us-east-1")


def copy_warehouse(there: Any, here: Any) -> None:
    """Copy the release's tables, under the same addresses."""
    here.create_bucket(Bucket="warehouse")
    for page in there.get_paginator("list_objects_v2").paginate(Bucket="warehouse", Prefix="lakehouse/"):
        for found in page["Contents"]:
            body = there.get_object(Bucket="warehouse", Key=found["Key"])["Body"].read()
            here.put_object(Bucket="warehouse", Key=found["Key"], Body=body)


@pytest.mark.long
def test_duckdb_reads_the_tables_with_a_session_token(release: Release) -> None:
    release.finished_job(release.job_of("loader-sample"))
    program = (
        "from lakehouse_duckdb import LakehouseDialect\n"
        "cursor = LakehouseDialect().connect().cursor()\n"
        "cursor.execute('SELECT CAST(sum(hits) AS bigint) FROM access_logs_traffic')\n"
        "print(cursor.fetchall())"
    )
    with release.port_forward(f"svc/{release.name}-minio", 9000) as port:
        login = session(release, port).get_credentials()
        assert login is not None
        environment = {
            **os.environ,
            "AWS_ACCESS_KEY_ID": login.access_key,
            "AWS_SECRET_ACCESS_KEY": login.secret_key,
            "AWS_SESSION_TOKEN": login.token or "",
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "DASHBOARDS_TABLES": "s3://warehouse/lakehouse",
            "PYTHONPATH": str(PROJECT / "superset"),
        }
        command = [str(PYTHON), "-c", program]
        done = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    [[hits]] = release.trino("SELECT sum(hits) FROM access_logs_traffic")
    assert done.stdout == f"[({hits},)]\n"


@pytest.mark.long
def test_every_chart_shows_the_same_on_duckdb(release: Release, on_duckdb: Superset) -> None:
    with dashboards(release) as address:
        superset = administrator(release, address)
        slugs = superset.dashboards()
        assert slugs == on_duckdb.dashboards()
        different = []
        for slug in slugs:
            # More than any chart shows: of rows that tie for the last place, each engine may show others.
            there, here = superset.charts(slug, EVERY_ROW), on_duckdb.charts(slug, EVERY_ROW)
            assert there.keys() == here.keys()
            different += [(name, there[name][:3], here[name][:3]) for name in there if not same_rows(there[name], here[name])]
        assert different == []


def same_rows(one: Rows, other: Rows) -> bool:
    """Whether rows are the same in any order."""

    def key(row: dict[str, Any]) -> str:
        return json.dumps({name: float(f"{value:.6g}") if isinstance(value, float) else value for name, value in row.items()})

    def equal(left: Any, right: Any) -> bool:
        if isinstance(left, (int, float)) and isinstance(right, (int, float)):
            return math.isclose(left, right, rel_tol=1e-9)
        return bool(left == right)

    pairs = zip(sorted(one, key=key), sorted(other, key=key), strict=True)
    return all(left.keys() == right.keys() and all(equal(left[name], right[name]) for name in left) for left, right in pairs)
