"""A lakehouse for logs and events: raw logs in, daily Iceberg partitions out, exactly once."""

__version__ = "0.1.0"
