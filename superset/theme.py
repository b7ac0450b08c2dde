"""How Superset looks while charts are on their way: what moves takes the CPU from them, above all where there is no GPU.

Superset's own sign of loading is drawn anew sixty times a second for each chart that is not there yet.
"""

from typing import Any

STEP_SECONDS = 0.4
DOTS = (16, 36, 56)
DIM = "0.4"


def calm(theme: dict[str, Any]) -> dict[str, Any]:
    """A theme whose sign of loading moves in steps, and whose charts appear as they are instead of growing."""
    return {
        **theme,
        "token": {**theme["token"], "brandSpinnerSvg": _loading(theme["token"]["colorPrimary"])},
        "echartsOptionsOverrides": {"animation": False},
    }


def _loading(color: str) -> str:
    """Three dots as an SVG image, one after the other darker than the rest."""
    dots = []
    for place, x in enumerate(DOTS):
        shades = ";".join("1" if step == place else DIM for step in range(len(DOTS)))
        dots.append(
            f'<circle cx="{x}" cy="25" r="6" fill="{color}" opacity="{DIM}"><animate attributeName="opacity" calcMode="discrete"'
            f' dur="{STEP_SECONDS * len(DOTS):g}s" repeatCount="indefinite" values="{shades}"/></circle>'
        )
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="72" height="50" viewBox="0 0 72 50">{"".join(dots)}</svg>'
