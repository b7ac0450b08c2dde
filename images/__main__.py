"""`make images`, or `python -m images [NAME...]`."""

import sys
import time

from images import IMAGES, TEST_IMAGES, ImageError, archive


def main(names: list[str]) -> int:
    """Builds the named images, or all that the charts run, and prints where each archive is."""
    known = IMAGES | TEST_IMAGES
    if unknown := set(names) - set(known):
        print(f"images: there is no {', '.join(sorted(unknown))}: there are {', '.join(known)}", file=sys.stderr)
        return 2
    for name in names or IMAGES:
        begin = time.monotonic()
        try:
            path = archive(name)
        except ImageError as error:
            print(f"images: {error}", file=sys.stderr)
            return 1
        size = path.stat().st_size / 1e6
        print(f"{known[name]}: {path}, {size:.0f} MB, {time.monotonic() - begin:.1f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
