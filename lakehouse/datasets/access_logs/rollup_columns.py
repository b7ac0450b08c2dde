"""Columns that several rollups of access logs have, and how the last two or three are counted."""

from lakehouse.datasets.base import Column

DATE = Column("date", "date", "UTC day of the requests.")
SITE = Column("site", "string", "Site that the inputs were loaded for.")
APPLICATION = Column("application", "string", "Application that was asked.")
PATH = Column("path", "string", "Path of the request target, percent-decoded.")
AGENT_FAMILY = Column("agent_family", "string", "Family of the user agent, such as Firefox or curl.")
HITS = Column("hits", "long", "Number of requests.")
BYTES = Column("bytes", "long", "Bytes sent.")
FAILED = Column("failed", "long", "Number of requests with a status of 400 or more.")

SUMMED = """
        count(*) AS hits,
        CAST(coalesce(sum(bytes), 0) AS bigint) AS bytes
""".strip()
MEASURED = f"""
        {SUMMED},
        CAST(sum(CASE WHEN status >= 400 THEN 1 ELSE 0 END) AS bigint) AS failed
""".strip()
