"""What can go wrong here."""


class ImageError(Exception):
    """An image cannot be built; says which, why, and what to do."""
