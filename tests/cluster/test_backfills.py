"""Backfills: each pod of an indexed Job loads one day, or one of the inputs that are listed."""

import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.loads import log_lines
from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster

DAYS = [date(2024, 2, 28), date(2024, 2, 29), date(2024, 3, 1)]
ROWS = 100
BACKFILLS: dict[str, Any] = {
    "february": {
        "dataset": "access_logs",
        "site": "l'ancien $(hostname)",
        "input": "s3://landing/old/{date}/*.log",
        "from": str(DAYS[0]),
        "to": str(DAYS[-1]),
        "parallelism": 3,
        "options": ["--format", "combined"],
    },
    "shards": {
        "dataset": "access_logs",
        "site": "shards",
        "inputs": ["s3://landing/shards/a b/*.log", "s3://landing/shards/c/*.log"],
    },
}


def test_a_pod_for_each_day_and_for_each_input(configured: Release, package: Path, landing: Any, tmp_path: Path) -> None:
    release = configured
    folders = [f"old/{day}" for day in DAYS] + ["shards/a b", "shards/c"]
    for folder, day in zip(folders, [*DAYS, DAYS[0], DAYS[0]], strict=True):
        landing.put_object(Bucket="landing", Key=f"{folder}/access.log", Body=log_lines(folder, 0, ROWS, day))
    values = tmp_path / "values.json"
    values.write_text(json.dumps({"loader": {"backfills": BACKFILLS}}), encoding="utf-8")
    # As an upgrade would make them, without all else that it would do.
    chosen = ("--values", str(values), "--show-only", "charts/loader/templates/backfills.yaml")
    jobs = release.cluster.helm("template", release.name, str(package), "--namespace", release.namespace, *chosen)
    release.kubectl("apply", "--filename=-", text=jobs)

    for name, indexes in (("february", "0-2"), ("shards", "0,1")):
        job = release.job_of(f"loader-{name}")
        release.finished_job(job)
        status = json.loads(release.kubectl("get", "job", job, "--output", "json"))["status"]
        assert status["completedIndexes"] == indexes
    query = "SELECT date, count(*) FROM access_logs WHERE site = '{}' GROUP BY 1 ORDER BY 1"
    february = query.format(BACKFILLS["february"]["site"].replace("'", "''"))
    assert release.trino(february) == [[day, ROWS] for day in DAYS]
    assert release.trino(query.format("shards")) == [[DAYS[0], 2 * ROWS]]
