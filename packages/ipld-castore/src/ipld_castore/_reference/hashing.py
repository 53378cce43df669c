"""Hash ranges of a file, as a function and as a program that needs nothing but the standard library.

The program answers requests from its standard input until that ends. A request is its length (4 bytes, big-endian), and
what :func:`encode_request` returns. An answer is the byte 1 and all digests, or the byte 0 where the file cannot be
read as far as that. Both ends are one Python, so ``marshal`` is a format that both know.
"""

from __future__ import annotations

import hashlib
import marshal
import os
import signal
import stat
import struct
import sys
from collections.abc import Callable

SIZE = struct.Struct(">I")
DIGEST_BYTES = 32
BUFFER_BYTES = 1 << 20
"""Bytes that are read at a time: what the cache of a processor holds."""
DONE, FAILED = b"\1", b"\0"

Span = tuple[int, int, list[tuple[int, int]]]
"""Where bytes that are read together begin and end, and the ranges in them: offset and length of each.

A span that is longer than the memory for it has one range.
"""
Fill = Callable[[int, memoryview], object]
"""Fills memory with the bytes from an offset on, or raises an error where the file ends before."""


def hash_spans(fill: Fill, spans: list[Span], buffer: memoryview) -> bytes:
    """Return the sha2-256 digests of all ranges, one after the other.

    :param buffer: memory to read into, which the caller keeps
    """
    return b"".join([digest for span in spans for digest in _hash_span(fill, span, buffer)])


def _hash_span(fill: Fill, span: Span, buffer: memoryview) -> list[bytes]:
    start, stop, ranges = span
    if stop - start <= len(buffer):
        fill(start, buffer[: stop - start])
        places = ((offset - start, offset - start + length) for offset, length in ranges)
        return [hashlib.sha256(buffer[begin:end]).digest() for begin, end in places]
    hasher = hashlib.sha256()
    for offset in range(start, stop, len(buffer)):
        piece = buffer[: min(len(buffer), stop - offset)]
        fill(offset, piece)
        hasher.update(piece)
    return [hasher.digest()]


def encode_request(path: bytes, flags: int, spans: list[Span]) -> bytes:
    """Return a request of the program.

    :param path: the file
    :param flags: how it is opened
    """
    request = marshal.dumps((path, flags, spans))
    return SIZE.pack(len(request)) + request


def _hash_file(path: bytes, flags: int, spans: list[Span], buffer: memoryview) -> bytes:
    with open(os.open(path, flags), "rb", buffering=0) as file:  # noqa: PTH123  # a descriptor
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError("expected a file")

        def fill(offset: int, piece: memoryview) -> None:
            file.seek(offset)
            done = 0
            while done < len(piece):
                count = file.readinto(piece[done:])
                if not count:
                    raise EOFError
                done += count

        return hash_spans(fill, spans, buffer)


def main() -> None:
    """Answer requests until the standard input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that asks decides when this one ends
    buffer = memoryview(bytearray(BUFFER_BYTES))
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    while len(head := requests.read(SIZE.size)) == SIZE.size:
        request = requests.read(*SIZE.unpack(head))
        try:
            path, flags, spans = marshal.loads(request)  # noqa: S302  # of the process that has started this one
            answer = DONE + _hash_file(path, flags, spans, buffer)
        except (OSError, EOFError, OverflowError):
            answer = FAILED  # the process that asks reads the file itself, and raises its own error
        answers.write(answer)
        answers.flush()


if __name__ == "__main__":
    main()
