"""`make images`, or `python -m images [NAME...]`."""

import sys
import time

from images import IMAGES, ImageError, archive


def main(names: list[str]) -> int:
    """Builds the named images, or all, and prints where each archive is."""
    if unknown := set(names) - set(IMAGES):
        print(f"images: there is no {', '.join(sorted(unknown))}: there are {', '.join(IMAGES)}", file=sys.stderr)
        return 2
    for name in names or IMAGES:
        begin = time.monotonic()
        try:
            path = archive(name)
        except ImageError as error:
            print(f"images: {error}", file=sys.stderr)
            return 1
        size = path.stat().st_size / 1e6
        print(f"{IMAGES[name]}: {path}, {size:.0f} MB, {time.monotonic() - begin:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
