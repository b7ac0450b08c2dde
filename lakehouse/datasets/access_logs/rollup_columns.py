"""Columns that several rollups of access logs have."""

from lakehouse.datasets.base import Column

DATE = Column("date", "date", "UTC day of the requests.")
SITE = Column("site", "string", "Site that the inputs were loaded for.")
APPLICATION = Column("application", "string", "Application that was asked.")
HITS = Column("hits", "long", "Number of requests.")
BYTES = Column("bytes", "long", "Bytes sent.")
FAILED = Column("failed", "long", "Number of requests with a status of 400 or more.")
