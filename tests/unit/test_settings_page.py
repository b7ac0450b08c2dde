"""docs/settings.md lists every setting, as the code knows it."""

from pathlib import Path

from lakehouse.settings import SETTINGS, Setting

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def table() -> str:
    """The page's table of settings."""
    heading = "| setting | variable | default | meaning |\n|---|---|---|---|\n"
    return heading + "".join(
        f"| `{setting.name}` | `{setting.variable}` | {_default(setting)} | {_meaning(setting)} |\n" for setting in SETTINGS
    )


def _default(setting: Setting) -> str:
    value = str(setting.default).lower() if isinstance(setting.default, bool) else str(setting.default)
    return f"`{value}`" if value else ""


def _meaning(setting: Setting) -> str:
    parts = [setting.doc]
    if setting.choices:
        parts.append(f"One of {', '.join(f'`{choice}`' for choice in setting.choices)}.")
    if setting.aws_variables:
        parts.append(f"Also from {', '.join(f'`{variable}`' for variable in setting.aws_variables)}.")
    if setting.secret:
        parts.append("Secret.")
    return " ".join(parts)


def test_the_page_lists_every_setting() -> None:
    assert table() in PAGE.read_text(encoding="utf-8"), f"put this table into docs/settings.md:\n{table()}"
