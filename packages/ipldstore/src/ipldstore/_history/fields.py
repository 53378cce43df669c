"""The fields of a node of the history, each checked before it is used (history.md, sections 1, 3 and 6)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar, cast

from ipld_car import CarError, cids

from ipldstore.errors import NodeError

T = TypeVar("T")

_PREFIX: Final = bytes((1, cids.DAG_CBOR, cids.SHA2_256, 32))
CID_BYTES: Final = 36


def is_node_link(value: object) -> bool:
    """Return whether a value is the binary CID of a dag-cbor block with sha2-256."""
    return isinstance(value, bytes) and len(value) == CID_BYTES and value.startswith(_PREFIX)


def decode_block(kind: str, block: bytes, decode: Callable[[bytes], Any], max_bytes: int) -> Any:
    """Return what a block holds.

    :param kind: what the block is to be, for messages
    :param block: its verified bytes
    :param decode: decodes them
    :param max_bytes: the most bytes of such a block
    :raises NodeError: if the block is larger, or cannot be decoded
    """
    if len(block) > max_bytes:
        raise NodeError(f"expected a {kind} of at most {max_bytes} bytes, found {len(block)}")
    try:
        return decode(block)
    except CarError as error:
        raise NodeError(f"expected a {kind}: {error}") from error


def surrogate_in(text: str) -> str | None:
    """Return the first lone surrogate of a text, which has no bytes in UTF-8; None if there is none."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        return text[error.start]
    return None


def check_text(field: str, value: object, max_bytes: int) -> None:
    """Require that a value that is to be written is a text within its bound.

    :param field: its name, for messages
    :raises TypeError: if it is no str
    :raises ValueError: if it has a lone surrogate, or more than ``max_bytes`` bytes in UTF-8
    """
    if not isinstance(value, str):
        raise TypeError(f"expected {field!r} to be str, found {type(value).__name__}")
    surrogate = surrogate_in(value)
    if surrogate is not None:
        raise ValueError(f"expected {field!r} without lone surrogates, found {surrogate!r}: {value[:200]!r}")
    size = len(value.encode())
    if size > max_bytes:
        raise ValueError(f"expected {field!r} of at most {max_bytes} bytes, found {size}")


class FieldReader:
    """Reads the fields of a map, and refuses those that were not asked for.

    :param kind: what the map is, for messages
    :param node: the decoded block
    :param version_field: name of the field with the version of the format
    :param version: the version that is known here
    :raises NodeError: if the block is no map, or another version
    """

    def __init__(self, kind: str, node: Any, version_field: str, version: int) -> None:
        if not isinstance(node, dict) or version_field not in node:
            raise NodeError(f"expected a {kind}, a map with the field {version_field!r}")
        found = node[version_field]
        if type(found) is not int or found != version:
            raise NodeError(f"expected a {kind} of version {version}, found {found!r}: written by a newer version")
        self._kind = kind
        self._node: dict[str, Any] = node
        self._known = {version_field}

    def has(self, name: str) -> bool:
        """Return whether the map has a field."""
        return name in self._node

    def value(self, name: str, kind: type[T]) -> T:
        """Return a field of one kind; ``bool`` is no ``int``."""
        value = self.any_value(name)
        if type(value) is not kind:
            raise NodeError(f"expected {name!r} to be {kind.__name__}, found {type(value).__name__}")
        return value

    def any_value(self, name: str) -> object:
        """Return a field of any kind."""
        self._known.add(name)
        if name not in self._node:
            raise NodeError(f"expected a {self._kind} with the field {name!r}, found none")
        return self._node[name]

    def link(self, name: str) -> bytes:
        """Return a field that links a dag-cbor block, as binary CID."""
        self._known.add(name)
        value = self._node.get(name)
        if not is_node_link(value):
            raise NodeError(f"expected {name!r} to be a link with codec dag-cbor and hash sha2-256")
        return cast("bytes", value)

    def integer(self, name: str, maximum: int) -> int:
        """Return a field that is an integer from 0 to ``maximum``."""
        value = self.value(name, int)
        if not 0 <= value <= maximum:
            raise NodeError(f"expected {name!r} from 0 to {maximum}, found {value}")
        return value

    def text(self, name: str, max_bytes: int) -> str:
        """Return a field that is a string of at most ``max_bytes`` bytes in UTF-8."""
        value = self.value(name, str)
        size = len(value.encode())
        if size > max_bytes:
            raise NodeError(f"expected {name!r} of at most {max_bytes} bytes, found {size}")
        return value

    def refuse_others(self) -> None:
        """Refuse fields that were not read.

        :raises NodeError: if there is one
        """
        others = sorted(self._node.keys() - self._known)
        if others:
            raise NodeError(f"expected no other field in a {self._kind}, found {others[0][:100]!r}")
