"""The container images that the charts run, built from the Dockerfiles of this repository without any image registry.

`IMAGES` names them; `archive` builds one, unless it is there already, and says where its archive is.
"""

from images.build import archive
from images.errors import ImageError
from images.recipes import IMAGES, TEST_IMAGES

__all__ = ["IMAGES", "TEST_IMAGES", "ImageError", "archive"]
