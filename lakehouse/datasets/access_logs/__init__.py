"""The dataset `access_logs`: what web servers, proxies and load balancers log of each request."""

from collections.abc import Mapping
from typing import Any

from lakehouse.datasets.access_logs import options as access_log_options
from lakehouse.datasets.access_logs.columns import COLUMNS
from lakehouse.datasets.access_logs.parser import open_parser
from lakehouse.datasets.access_logs.views import ROLLUPS, VIEWS
from lakehouse.datasets.base import ParseContext, Parser, Rollup, View


class AccessLogs:
    """Access logs of any server; see `Dataset`."""

    name = "access_logs"
    doc = "Requests to web servers, proxies and load balancers, one row each."
    columns = COLUMNS
    views: tuple[View, ...] = VIEWS
    rollups: tuple[Rollup, ...] = ROLLUPS
    line_based = True
    site: str | None = None

    def validate_options(self, options: Mapping[str, Any]) -> Mapping[str, Any]:
        """Check the section `access_logs` of the settings; see `Dataset`."""
        access_log_options.validate(options)
        return options

    def open_parser(self, head: bytes, context: ParseContext, state: Mapping[str, Any] | None) -> Parser:
        """Choose the format of an input; see `Dataset`."""
        return open_parser(head, context, state)


DATASET = AccessLogs()
