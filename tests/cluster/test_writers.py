"""Many writers on one table over the metastore, and one that is stopped in the middle of its commit."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random

from tests.cluster.loads import DAY, Load, commit_seconds, put_log, rows_of
from tests.cluster.outside import metastore, query_engine
from tests.cluster.stopped import ASKED, STOPPED
from tests.cluster.tools import Release

pytestmark = pytest.mark.cluster
LONG = pytest.mark.long
PODS = 8
FILES = 3
"""Inputs, and so commits, of each pod."""
LINES = 50
TRINO_WRITERS = 2
INSERTS = 5
"""Commits of each Trino writer."""


def insert(connection: Connection, site: str, number: int) -> int:
    """Insert a row by Trino and return how many tries it took; a commit that lost says so, and nothing of it is there."""
    lost = retry_if_exception(lambda error: isinstance(error, DBAPIError) and "ICEBERG_COMMIT_ERROR" in str(error))
    for again in Retrying(retry=lost, stop=stop_after_attempt(100), wait=wait_random(0, 0.5), reraise=True):
        with again:
            # The sizes of the rows that are loaded begin at 0.
            sql = f"INSERT INTO access_logs (date, site, bytes) VALUES (DATE '{DAY}', '{site}', {-1 - number})"
            connection.exec_driver_sql(sql).fetchall()
    return int(again.retry_state.attempt_number)


@LONG
def test_eight_loader_pods_and_two_trino_writers(configured: Release, landing: Any, tmp_path: Path) -> None:
    put_log(landing, "crowd-before/access.log", 10**6, LINES)  # the table is there
    Load(configured, "crowd-before", "crowd", "crowd-before/*.log").finish()
    for number in range(PODS * FILES):
        put_log(landing, f"crowd/{number // FILES}/{number}.log", number * LINES, LINES)
    pattern = "crowd/$(JOB_COMPLETION_INDEX)/*.log"
    crowd = Load(configured, "crowd", "crowd", pattern, "staged", PODS, ("--commit-every=1", "--source=s"))
    crowd.wait_until_stopped()
    with query_engine(configured, "writer", "iceberg/lakehouse", tmp_path) as engine, ThreadPoolExecutor() as together:

        def insert_all(writer: int) -> int:
            with engine.connect() as connection:
                return sum(insert(connection, "crowd", writer * INSERTS + number) for number in range(INSERTS))

        writers = [together.submit(insert_all, writer) for writer in range(TRINO_WRITERS)]
        crowd.let_go()
        seconds = commit_seconds(crowd.finish())
        tries = sum(writer.result() for writer in writers)
    loaded = PODS * FILES * LINES + LINES
    inserted = TRINO_WRITERS * INSERTS
    print(
        f"\n{len(seconds)} commits of {PODS} pods took {seconds[0]:.2f} to {seconds[-1]:.2f} s, half of them at most "
        f"{seconds[len(seconds) // 2]:.2f} s; {inserted} inserts by {TRINO_WRITERS} Trino writers took {tries} tries"
    )
    assert len(seconds) == PODS * FILES
    assert rows_of(configured, "crowd") == [loaded + inserted, loaded + inserted, loaded]
    with metastore(configured) as catalog:
        assert catalog.load_table("lakehouse.access_logs").scan(row_filter="site = 'crowd'").count() == loaded + inserted


@pytest.mark.parametrize("step", [pytest.param("commit prepared", marks=LONG), ASKED])
@pytest.mark.parametrize(
    "rival", ["another input", pytest.param("the same input", marks=LONG), pytest.param("Trino", marks=LONG)]
)
def test_a_writer_stopped_inside_its_commit(configured: Release, landing: Any, tmp_path: Path, step: str, rival: str) -> None:
    site = f"{step}-{rival}".replace(" ", "-").lower()
    put_log(landing, f"{site}/before.log", 0, LINES)
    Load(configured, f"{site}-before", site, f"{site}/*.log", options=("--source=s",)).finish()
    put_log(landing, f"{site}/mine.log", LINES, LINES)
    mine = Load(configured, f"{site}-mine", site, f"{site}/mine.log", step, options=("--source=s",))
    mine.wait_until_stopped()
    inserted = 0
    if rival == "Trino":
        with query_engine(configured, "writer", "iceberg/lakehouse", tmp_path) as engine, engine.connect() as connection:
            insert(connection, site, 0)
        inserted = 1
    else:
        name = "mine" if rival == "the same input" else "other"
        put_log(landing, f"{site}/other.log", 2 * LINES, LINES)
        said = Load(configured, f"{site}-rival", site, f"{site}/{name}.log", options=("--source=s",)).finish()
        assert STOPPED not in said
        assert " loaded " in said
    seen_before = rows_of(configured, site)
    mine.let_go()
    said = mine.finish()
    assert " loaded " in said or (rival == "the same input" and " unchanged " in said)
    loaded = 3 * LINES if rival == "another input" else 2 * LINES
    assert rows_of(configured, site) == [loaded + inserted, loaded + inserted, loaded]
    assert seen_before[0] == loaded + inserted - (0 if rival == "the same input" else LINES)
