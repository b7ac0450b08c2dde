"""From the raw frame that every format yields to the table's columns."""

import numpy as np
import polars as pl

from lakehouse.datasets.access_logs import agents, applications, options
from lakehouse.datasets.access_logs.columns import ROW_SCHEMA
from lakehouse.datasets.access_logs.encoded import Encoded, encode
from lakehouse.datasets.access_logs.extra_privacy import ExtraPrivacy
from lakehouse.datasets.access_logs.privacy import Clients, Privacy
from lakehouse.datasets.access_logs.siphash import Words
from lakehouse.datasets.access_logs.urls import split_target
from lakehouse.datasets.access_logs.users import users
from lakehouse.datasets.base import ParseContext


class Enricher:
    """Adds what follows from a request: visitor, user, path, agent, application, OGC fields.

    Args:
        context: `options` (see `options.validate`), `site` and `key` are used.

    Raises:
        SettingsError: an option is wrong, or the key too short.
    """

    def __init__(self, context: ParseContext) -> None:
        settings = options.validate(context.options)
        self.applications = settings.applications_of(context.site)
        self.privacy = Privacy(settings.client_ip, settings.user_name, context.key)
        self._agents = agents.KnownAgents(self.privacy.agent_words)
        self._extra_privacy = ExtraPrivacy(settings.client_ip, settings.user_name, self.privacy)

    def enrich(self, raw: pl.DataFrame) -> pl.DataFrame:
        """Enrich a block.

        Args:
            raw: exactly `columns.RAW_SCHEMA`.

        Returns:
            Exactly `columns.ROW_SCHEMA`, the same rows in the same order. Nothing that a log may hold is an error.
        """
        client = encode(raw["client_ip"])
        described, agent_words = self._agents.of(encode(raw["user_agent"]))
        clients = self.privacy.clients(client.values)
        # What is asked for again, and much is, is read once. A request that is no HTTP has no target.
        target = encode(_where(raw["method"].is_not_null(), raw["url"]))
        path, query = split_target(target.values)
        requests = applications.describe(path, query, self.applications).with_columns(path.alias("path"), query.alias("query"))
        columns = [
            *raw.drop("user_field"),
            self._extra_privacy.apply(raw["extra"]),
            clients.stored.gather(client.positions).alias("client_ip"),
            self._visitors(raw["ts"], client, clients, agent_words).alias("visitor"),
            *self._users(raw["user_field"]),
            *described,
            *requests.select(pl.all().gather(target.positions)),
        ]
        by_name = {column.name: column for column in columns}
        return pl.DataFrame([by_name[name] for name in ROW_SCHEMA])

    def _visitors(self, ts: pl.Series, client: Encoded, clients: Clients, agent_words: Words) -> pl.Series:
        if client.values.is_empty():
            return pl.repeat(None, len(ts), dtype=pl.Int64(), eager=True)
        of_client = client.positions.fill_null(0).to_numpy()
        visitors = self.privacy.visitors(
            clients.high[of_client],
            clients.low[of_client],
            agent_words,
            ts.dt.epoch("d").cast(pl.Int64()).to_numpy().view(np.uint64),
        )
        return _where(client.positions.is_not_null(), pl.Series(visitors.view(np.int64)))

    def _users(self, packed: pl.Series) -> list[pl.Series]:
        if packed.null_count() == len(packed):
            return [packed.alias("user_name"), packed.alias("org"), packed.cast(pl.List(pl.String())).alias("roles")]
        user = encode(packed)
        return [column.gather(user.positions) for column in users(user.values, self.privacy)]


def _where(condition: pl.Series, values: pl.Series) -> pl.Series:
    return values.zip_with(condition, pl.Series([None], dtype=values.dtype))
