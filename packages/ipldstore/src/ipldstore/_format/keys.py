"""The keys of a dataset (format, section 1) and the form of chunk keys (section 3)."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Final

# One string, as hypothesis draws short strings of the code under test: zarr's own state machines would name groups and
# arrays after documents.
ZARRAY, ZGROUP, ZATTRS, ZMETADATA, ZARR_JSON = ".zarray .zgroup .zattrs .zmetadata zarr.json".split()  # noqa: SIM905  # see above

DOCUMENTS: Final = frozenset({ZARRAY, ZGROUP, ZATTRS, ZMETADATA, ZARR_JSON})
"""The names of documents, whose JSON is kept as data."""

RESERVED: Final = "__ipld_"
"""The beginning of all names that the format reserves."""
VALUE: Final = "__ipld_value__"
"""In a directory, the name of the value that has the directory's own name."""
CHUNKS: Final = "__ipld_chunks__"
"""In a directory, the name of its chunk index."""
NAMES: Final = "__ipld_names__"
"""In a directory, the name of its name index."""

MAX_PARTS: Final = 64
MAX_PART_BYTES: Final = 255
MAX_CHUNK_KEY_BYTES: Final = 255

_PLAIN_KEY: Final = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9_-]{0,99}/){0,31}[A-Za-z0-9][A-Za-z0-9_.-]{0,99}", re.ASCII)
"""The form of nearly all keys. A key of this form is allowed; of others each part is checked."""

_NUMBER_FORM: Final = r"(?:0|[1-9][0-9]{0,17})"
# At each character at most one alternative can go on, so matching never backtracks: a hostile key costs one pass.
_CHUNK_KEY_FORM: Final = "c/N(?:/N)*|c[.]N(?:[.]N)*|N(?:(?:/N)+|(?:[.]N)+)?".replace("N", _NUMBER_FORM)
_CHUNK_KEY: Final = re.compile(_CHUNK_KEY_FORM, re.ASCII)
_CHUNK_KEYS: Final = re.compile(rf"(?:{_CHUNK_KEY_FORM})(?:\n(?:{_CHUNK_KEY_FORM}))*", re.ASCII)
_FIRST_PART: Final = re.compile(rf"c|(?:c\.)?{_NUMBER_FORM}(?:\.{_NUMBER_FORM})*", re.ASCII)
_NUMBER: Final = re.compile(_NUMBER_FORM, re.ASCII)


def part_problem(part: str) -> str | None:
    """Return what the format does not allow in a part of a key; None if the part is allowed."""
    if not part:
        return "an empty part"
    if part in (".", ".."):
        return f"the part {part!r}"
    if "\0" in part:
        return "a NUL character"
    if part.startswith(RESERVED):
        return f"a part that begins with {RESERVED}, which the format reserves"
    # A character has at most 4 bytes, so only long parts are encoded here.
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
    if _PLAIN_KEY.fullmatch(key):
        return parts, None
    if len(parts) > MAX_PARTS:
        return parts, f"more than {MAX_PARTS} parts"
    if not DOCUMENTS.isdisjoint(parts[:-1]):
        return parts, "the name of a document before the last part"
    return parts, _problem(parts)


def split_key(key: str) -> list[str]:
    """Return the parts of a key.

    >>> split_key("air/c/0/1")
    ['air', 'c', '0', '1']

    :raises ValueError: if the format does not allow the key
    """
    parts, problem = _split(key)
    if problem is not None:
        raise ValueError(f"expected a key of parts joined by '/', found {problem}: {key[:200]!r}")
    return parts


def parts_of(key: str) -> list[str] | None:
    """Return the parts of a key; None if the format does not allow it, so that no dataset holds it."""
    parts, problem = _split(key)
    return parts if problem is None else None


def is_key(key: str) -> bool:
    """Return whether the format allows a key; no dataset holds one that it does not allow."""
    return parts_of(key) is not None


def is_chunk_key(rest: str) -> bool:
    """Return whether a key, relative to an array, has the form of a chunk key.

    >>> [is_chunk_key(rest) for rest in ("c/0/1", "0.1", "c", "01", "0/1.2")]
    [True, True, False, False, False]
    """
    return len(rest) <= MAX_CHUNK_KEY_BYTES and _CHUNK_KEY.fullmatch(rest) is not None


def are_chunk_keys(keys: Collection[str], slashes: int) -> bool:
    """Return whether all keys, each relative to an array, have the form of chunk keys and so many slashes in all.

    It matches all keys at once, which is much faster than one after the other.
    """
    together = "\n".join(keys)
    # Line breaks are counted, as a key with a line break in it would match as two keys.
    return (
        together.count("/") == slashes
        and together.count("\n") == len(keys) - 1
        and _CHUNK_KEYS.fullmatch(together) is not None
        and len(max(keys, key=len)) <= MAX_CHUNK_KEY_BYTES
    )


def is_index_name(name: str) -> bool:
    """Return whether a name may be in a name index: it is one part of a key, and no document's name."""
    return "/" not in name and part_problem(name) is None and name not in DOCUMENTS


def may_begin_chunk_key(part: str, *, first: bool) -> bool:
    """Return whether a part of a key may be the first part of a chunk key, or a later one."""
    return (_FIRST_PART if first else _NUMBER).fullmatch(part) is not None
