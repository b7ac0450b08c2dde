"""Name, organisation and roles of authenticated users."""

import polars as pl

from lakehouse.datasets.access_logs.privacy import Privacy

_ROLE = r"[^,;\s](?:[^,;]*[^,;\s])?"


def users(packed: pl.Series, privacy: Privacy) -> list[pl.Series]:
    """`user_name`, `org` and `roles` from `name`, `name|org` or `name|org|role,role`; parts behind are left out.

    Args:
        packed: distinct user fields as logged.
        privacy: what is kept of names.
    """
    parts = packed.str.split_exact("|", 3).struct.unnest().select(pl.all().str.strip_chars().replace("", None))
    name, org, roles, _ = parts.get_columns()
    roles = roles.str.extract_all(_ROLE)
    roles = roles.zip_with(roles.list.len() > 0, pl.Series([None], dtype=roles.dtype))
    return [privacy.user_names(name).alias("user_name"), org.alias("org"), roles.alias("roles")]
