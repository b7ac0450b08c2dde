"""The compiled library of the folder `native/`, where it was built. Everything works without it, only slower."""

import ctypes
import sys
from functools import cache
from pathlib import Path

LIBRARY = Path(__file__).parent / ("liblakehouse_native.dylib" if sys.platform == "darwin" else "liblakehouse_native.so")
"""Where `make` puts the library, in the package itself."""

_INTERFACE = 4


@cache
def library() -> ctypes.CDLL | None:
    """The compiled library; None where there is none, or one of another version."""
    try:
        found = ctypes.CDLL(str(LIBRARY))
        if found.lakehouse_interface() != _INTERFACE:
            return None
    except (OSError, AttributeError):
        return None
    address, size = ctypes.c_void_p, ctypes.c_size_t
    found.lakehouse_open.argtypes = (address, size, ctypes.c_char_p, size)
    found.lakehouse_open.restype = address
    found.lakehouse_close.argtypes = (address,)
    found.lakehouse_encode.argtypes = (address, ctypes.c_char_p, size, ctypes.c_int64)
    found.lakehouse_encode.restype = ctypes.c_int64
    found.lakehouse_network.argtypes = (address, ctypes.c_char_p, size)
    found.lakehouse_network.restype = ctypes.c_int64
    found.lakehouse_forget.argtypes = (address, ctypes.c_uint32)
    found.lakehouse_visitors.argtypes = (address, address, size, address, size, address)
    found.lakehouse_visitors.restype = ctypes.c_int64
    found.lakehouse_array.argtypes = (address, ctypes.c_uint32, ctypes.POINTER(size))
    found.lakehouse_array.restype = address
    found.lakehouse_pages_open.restype = address
    found.lakehouse_pages_close.argtypes = (address,)
    found.lakehouse_pages_body.argtypes = (address, ctypes.POINTER(size))
    found.lakehouse_pages_body.restype = address
    found.lakehouse_pages_dictionary.argtypes = (address, address, size, address, size)
    found.lakehouse_pages_dictionary.restype = ctypes.c_int64
    found.lakehouse_pages_data.argtypes = (address, ctypes.c_uint32, address, address, size, size)
    found.lakehouse_pages_data.restype = ctypes.c_int64
    return found
