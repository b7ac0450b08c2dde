"""SipHash-2-4 of many short messages of one length at a time."""

import numpy as np
import numpy.typing as npt

Words = npt.NDArray[np.uint64]

_INITIAL = (0x736F6D6570736575, 0x646F72616E646F6D, 0x6C7967656E657261, 0x7465646279746573)
_BLOCK = 32_768  # messages whose state stays in the processor's cache


def siphash_2_4(key: bytes, *words: Words) -> Words:
    """Hash row by row, the message of a row being its words as 64-bit little-endian integers, one after another.

    Args:
        key: 16 bytes.
        words: arrays of one length.

    Returns:
        The 64-bit hashes, uniform in every bit to whoever lacks the key, and the same on every machine.

    Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012, sections 2.2 to 2.4.
    """
    first = int.from_bytes(key[:8], "little")
    second = int.from_bytes(key[8:16], "little")
    start = [np.uint64(half ^ constant) for half, constant in zip((first, second) * 2, _INITIAL, strict=True)]
    # The last word of a message holds its length in bytes in the top byte; whole words leave the rest zero.
    length = np.uint64((len(words) * 8 % 256) << 56)
    hashes = np.empty(len(words[0]), np.uint64)
    for begin in range(0, len(hashes), _BLOCK):
        block = hashes[begin : begin + _BLOCK]
        state = [np.full(len(block), value, np.uint64) for value in start]
        scratch = np.empty(len(block), np.uint64)
        for word in [array[begin : begin + _BLOCK] for array in words] + [length]:
            state[3] ^= word
            _rounds(2, state, scratch)
            state[0] ^= word
        state[2] ^= np.uint64(0xFF)
        _rounds(4, state, scratch)
        block[:] = state[0] ^ state[1] ^ state[2] ^ state[3]
    return hashes


def _rounds(count: int, state: list[Words], scratch: Words) -> None:
    a, b, c, d = state
    for _ in range(count):
        a += b
        _rotate(b, 13, scratch)
        b ^= a
        _rotate(a, 32, scratch)
        c += d
        _rotate(d, 16, scratch)
        d ^= c
        a += d
        _rotate(d, 21, scratch)
        d ^= a
        c += b
        _rotate(b, 17, scratch)
        b ^= c
        _rotate(c, 32, scratch)


def _rotate(values: Words, bits: int, scratch: Words) -> None:
    np.right_shift(values, np.uint64(64 - bits), out=scratch)
    np.left_shift(values, np.uint64(bits), out=values)
    np.bitwise_or(values, scratch, out=values)
