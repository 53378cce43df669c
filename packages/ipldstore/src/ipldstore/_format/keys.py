"""The keys of a dataset (format, section 1) and the form of chunk keys (section 3)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

# In one string: hypothesis takes short ones in the code under test for likely inputs, and these are no names for
# the groups and arrays of zarr's own state machines.
ZARRAY, ZGROUP, ZATTRS, ZMETADATA, ZARR_JSON = ".zarray .zgroup .zattrs .zmetadata zarr.json".split()  # noqa: SIM905  # see above

DOCUMENTS: Final = frozenset({ZARRAY, ZGROUP, ZATTRS, ZMETADATA, ZARR_JSON})
"""Names whose JSON is kept as data."""

RESERVED: Final = "__ipld_"
VALUE: Final = "__ipld_value__"
CHUNKS: Final = "__ipld_chunks__"
NAMES: Final = "__ipld_names__"

MAX_PARTS: Final = 64
MAX_PART_BYTES: Final = 255
MAX_CHUNK_KEY_BYTES: Final = 255

_ORDINARY: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,99}/){0,31}[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)
"""What nearly all keys are, and then nothing is wrong with them."""

NUMBER: Final = r"(?:0|[1-9][0-9]{0,17})"
# Each character leaves one way to go on, so what does not match is found out in one pass.
_CHUNK_KEY_FORM: Final = (
    rf"(?:c/{NUMBER}(?:/{NUMBER})*|c\.{NUMBER}(?:\.{NUMBER})*|{NUMBER}(?:(?:/{NUMBER})+|(?:\.{NUMBER})+)?)"
)
_CHUNK_KEY: Final = re.compile(_CHUNK_KEY_FORM, re.ASCII)
_CHUNK_KEYS: Final = re.compile(rf"{_CHUNK_KEY_FORM}(?:\n{_CHUNK_KEY_FORM})*", re.ASCII)
_FIRST_PART: Final = re.compile(rf"c|(?:c\.)?{NUMBER}(?:\.{NUMBER})*", re.ASCII)
_NUMBER: Final = re.compile(NUMBER, re.ASCII)


def part_problem(part: str) -> str | None:
    """What is wrong with one part of a key; None if nothing is."""
    if not part:
        return "an empty part"
    if part in (".", ".."):
        return f"the part {part!r}"
    if "\0" in part:
        return "a NUL character"
    if part.startswith(RESERVED):
        return f"a part that begins with {RESERVED}, which the format keeps for itself"
    # A character has at most 4 bytes, so nearly no part needs encoding here.
    if len(part) > MAX_PART_BYTES // 4 and len(part.encode("utf-8", "surrogatepass")) > MAX_PART_BYTES:
        return f"a part of more than {MAX_PART_BYTES} bytes in UTF-8"
    return None


def _problem(parts: Sequence[str]) -> str | None:
    for part in parts:
        problem = part_problem(part)
        if problem is not None:
            return problem
    try:
        "".join(parts).encode()
    except UnicodeEncodeError:
        return "a lone surrogate"
    return None


def _split(key: str) -> tuple[list[str], str | None]:
    parts = key.split("/")
    if _ORDINARY.fullmatch(key):
        return parts, None
    if len(parts) > MAX_PARTS:
        return parts, f"more than {MAX_PARTS} parts"
    if not DOCUMENTS.isdisjoint(parts[:-1]):
        return parts, "the name of a document before the last part"
    return parts, _problem(parts)


def split_key(key: str) -> list[str]:
    """The parts of a key.

    :raises ValueError: if the format does not allow the key
    """
    parts, problem = _split(key)
    if problem is not None:
        raise ValueError(f"expected a key of parts joined by '/', found {problem}: {key[:200]!r}")
    return parts


def parts_of(key: str) -> list[str] | None:
    """The parts of a key; None if the format does not allow it, and so no dataset has it."""
    parts, problem = _split(key)
    return parts if problem is None else None


def is_key(key: str) -> bool:
    """Whether the format allows the key; what it does not allow is absent from every dataset."""
    return parts_of(key) is not None


def is_chunk_key(rest: str) -> bool:
    """Whether a key, relative to an array, has the form of a chunk key."""
    return len(rest) <= MAX_CHUNK_KEY_BYTES and _CHUNK_KEY.fullmatch(rest) is not None


def are_chunk_keys(keys: Collection[str], slashes: int) -> bool:
    """Whether all keys, each relative to an array, have the form of chunk keys, and together so many slashes."""
    together = "\n".join(keys)
    # A line break in a key would make two of it.
    return (
        together.count("/") == slashes
        and together.count("\n") == len(keys) - 1
        and _CHUNK_KEYS.fullmatch(together) is not None
        and len(max(keys, key=len)) <= MAX_CHUNK_KEY_BYTES
    )


def is_index_name(name: str) -> bool:
    """Whether a name may be in a name index: one part of a key, and no document's name."""
    return "/" not in name and part_problem(name) is None and name not in DOCUMENTS


def may_begin_chunk_key(part: str, *, first: bool) -> bool:
    """Whether a part may be the first, or a later, part of a chunk key."""
    return (_FIRST_PART if first else _NUMBER).fullmatch(part) is not None
