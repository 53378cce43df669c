"""DAG-CBOR blocks, strict and fast.

There are two views of the same bytes:

- :func:`decode` and :func:`encode` are for values of users: a link is a :class:`multiformats.CID`, a byte string is
  ``bytes``. They use ``dag-cbor``, which is strict and slow.
- :func:`decode_node` and :func:`encode_node` are for nodes with thousands of links and no byte strings: a link is its
  binary CID. They use ``libipld``, which is lenient. So its value is encoded again and compared with the block; where
  they differ, ``dag-cbor`` decides.

Source: https://ipld.io/specs/codecs/dag-cbor/spec/.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from typing import Any, Final

import dag_cbor
import libipld
from multiformats import CID

from ipld_car import cids
from ipld_car.errors import LimitError, MalformedError

from . import cbor_scan

__all__ = ["MAX_DEPTH", "decode", "decode_node", "encode", "encode_node", "links", "scan"]

MAX_DEPTH: Final = 256
"""How deep maps and lists may be nested by default; the outermost is at depth 1."""

# Decoded, a block can take sixty times its size. A block over the customary 1 MiB is scanned, not decoded.
_MAX_DECODED: Final = 1 << 20


def decode(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a DAG-CBOR block; a link is a :class:`multiformats.CID`, which prints in base32.

    :raises CarError: if the block is not strict DAG-CBOR, or nested deeper than ``max_depth``

    >>> decode(bytes.fromhex("a1616101"))
    {'a': 1}
    """
    scan(data, max_depth=max_depth)
    try:
        # From bytes, dag_cbor leaves a cycle of errors and frames behind, its caller's too.
        return _replace_scalars(dag_cbor.decode(BytesIO(data)), _to_base32_cid)
    # KeyError: a link whose codec or hash function is in no table of multiformats
    except (dag_cbor.decoding.CBORDecodingError, ValueError, KeyError) as error:
        raise MalformedError(f"expected strict DAG-CBOR: {error}") from error
    except RecursionError as error:
        raise LimitError("the block is nested too deep for the stack of this thread") from error


def encode(value: Any) -> bytes:
    """Return the DAG-CBOR block of a value: None, bool, int, float, str, bytes, CID, and lists and dicts of them.

    :raises ValueError: if the value has no DAG-CBOR form (NaN, integers beyond 64 bits, keys that are not str)
    :raises LimitError: if the value is nested too deep; it is a ValueError too

    >>> encode({"b": 1, "a": 2}).hex()
    'a2616102616201'
    """
    try:
        stream = BytesIO()  # without one, dag_cbor leaves a cycle of errors and frames behind, its caller's too
        dag_cbor.encode(value, stream=stream)
        return stream.getvalue()
    except (dag_cbor.encoding.CBOREncodingError, UnicodeEncodeError) as error:
        raise ValueError(f"expected a value that DAG-CBOR can hold: {error}") from error
    except RecursionError as error:
        raise LimitError("the value is nested too deep for the stack of this thread") from error


def encode_node(value: Any) -> bytes:
    """Return the DAG-CBOR block of a node whose links are binary CIDs. Map keys are sorted.

    :raises ValueError: if the value has no DAG-CBOR form, or holds a byte string that is no CID, or one with a digest
        over 64 bytes, which libipld does not write as a link
    :raises LimitError: if the value is nested too deep; it is a ValueError too
    """
    try:
        data = libipld.encode_dag_cbor(value)
    except ValueError as error:
        raise ValueError(f"expected a value that DAG-CBOR can hold: {error}") from error
    except RecursionError as error:
        raise LimitError("the value is nested too deep for the stack of this thread") from error
    _check_links(value, sys.maxsize)
    # libipld drops the sign of negative zero
    return encode(_replace_scalars(value, _to_cid_object)) if _ZERO in data and _has_negative_zero(value) else data


def decode_node(data: bytes, *, max_depth: int = MAX_DEPTH) -> Any:
    """Return the value of a DAG-CBOR block without byte strings; a link is its binary CID.

    :raises CarError: if the block is not strict DAG-CBOR, is nested deeper than ``max_depth``, or holds a byte
        string or a link that is no CID
    """
    value = _decode_with_libipld(data)
    if value is _INEXACT:
        return _replace_scalars(decode(data, max_depth=max_depth), _to_binary_cid)
    _check_links(value, max_depth)
    return value


def _check_links(value: Any, max_depth: int) -> None:
    """Refuse a value with bytes that libipld does not write as a link, or that are not exactly one CID."""
    level, depth = [value], 0
    while level:
        below: list[Any] = []
        for item in level:
            kind = type(item)
            if kind is bytes:
                # cids.is_cidv1_sha256 in place: a node has thousands of links
                is_common = len(item) == cids.CIDV1_SHA256_SIZE and item[:4] in cids.CIDV1_SHA256_PREFIXES
                if not is_common and not _is_link(item):
                    raise MalformedError(f"expected a link, found a byte string of {len(item)} bytes")
            elif kind is dict or kind is list:
                if depth >= max_depth:
                    raise _too_deep(max_depth)
                below.extend(item.values() if kind is dict else item)
        level, depth = below, depth + 1


def _too_deep(max_depth: int) -> LimitError:
    return LimitError(f"expected maps and lists nested at most {max_depth} deep, found more")


def links(data: bytes, *, max_depth: int = 1024) -> list[bytes]:
    """Return the binary CIDs that a DAG-CBOR block links to, in the order of their encoding.

    A block that is not strict, such as Filecoin's with text that is not UTF-8, gives its links too.

    :raises CarError: as :func:`scan`
    """
    value = _decode_with_libipld(data) if len(data) <= _MAX_DECODED else _INEXACT
    if value is _INEXACT:
        return scan(data, max_depth=max_depth)
    return [leaf for leaf in _bytes_in(value, max_depth) if cids.is_cidv1_sha256(leaf) or _is_link(leaf)]


_INEXACT: Final = object()


def _decode_with_libipld(data: bytes) -> Any:
    """Return the value that libipld decodes, if it encodes to the same block; else ``_INEXACT``."""
    try:
        value = libipld.decode_dag_cbor(data)
        return value if libipld.encode_dag_cbor(value) == data else _INEXACT
    # Not swallowed: for _INEXACT the callers run the strict decoder or the scan, which raises.
    except (ValueError, RecursionError):
        return _INEXACT


def _is_link(leaf: bytes) -> bool:
    """Return whether libipld writes these bytes as a link.

    :raises MalformedError: if it does, but bytes follow the CID
    """
    if libipld.encode_dag_cbor(leaf)[:1] != b"\xd8":
        return False
    if cids.prefix_of(leaf).cid_size != len(leaf):
        raise MalformedError(f"expected a link that is one CID, found bytes behind it: {leaf[:64].hex()}")
    return True


def _bytes_in(value: Any, max_depth: int) -> Iterator[bytes]:
    """Iterate over the byte strings in a decoded value, in order, without recursion."""
    stack: list[Iterator[Any]] = [iter((value,))]
    while stack:
        for item in stack[-1]:
            kind = type(item)
            if kind is bytes:
                yield item
            elif kind is dict or kind is list:
                if len(stack) > max_depth:
                    raise _too_deep(max_depth)
                stack.append(iter(item.values() if kind is dict else item))
                break
        else:
            stack.pop()


def _replace_scalars(value: Any, replace: Callable[[Any], Any]) -> Any:
    """Return a copy of a value in which every item but maps and lists is replaced, without recursion."""
    holder = [value]
    todo: list[Any] = [holder]
    while todo:
        container = todo.pop()
        for key, item in list(container.items() if isinstance(container, dict) else enumerate(container)):
            if isinstance(item, (dict, list)):
                container[key] = item.copy()
                todo.append(container[key])
            else:
                container[key] = replace(item)
    return holder[0]


def _to_base32_cid(item: Any) -> Any:
    return cids.from_bytes(bytes(item)) if isinstance(item, CID) else item


def _to_binary_cid(item: Any) -> Any:
    if isinstance(item, bytes):
        raise MalformedError(f"expected a link, found a byte string of {len(item)} bytes")
    return cids.to_bytes(item) if isinstance(item, CID) else item


def _to_cid_object(item: Any) -> Any:
    return cids.from_bytes(item) if isinstance(item, bytes) else item


_ZERO: Final = b"\xfb" + bytes(8)


def _has_negative_zero(value: Any) -> bool:
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, (dict, list)):
            stack.extend(item.values() if isinstance(item, dict) else item)
        elif isinstance(item, float) and item == 0 and math.copysign(1, item) < 0:
            return True
    return False


def scan(data: bytes, *, max_depth: int = MAX_DEPTH) -> list[bytes]:
    """Scan a CBOR block and return the binary CIDs of its links, in order.

    No value is made. Each declared length is compared with the bytes that are left. The order of keys, UTF-8, minimal
    integers and floats are not checked; :func:`decode` checks them.

    :raises CarError: with the offset in the block, if the block is not one CBOR item of definite length, has a tag
        other than 42, has a link that is no CID, or is nested deeper than ``max_depth``
    """
    found, end = cbor_scan.scan(data, 0, max_depth)
    if end != len(data):
        raise MalformedError(f"expected the end of the block, found {len(data) - end} more bytes", offset=end)
    return found
