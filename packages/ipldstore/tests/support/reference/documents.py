"""Documents of the reference: JSON as data and back, section 2 of the format."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .blocks import MIB, encode

DOCUMENTS = {".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"}


class Document(NamedTuple):
    value: dict[str, Any]


class LossyError(Exception):
    """JSON text cannot be kept as data without loss."""


SPACE = re.compile(r"[ \t\n\r]*")
NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
STRING = re.compile(r'"((?:[^"\\\x00-\x1f]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*)"')
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))")
ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}


class Json:
    """A parser of RFC 8259 that refuses text which cannot be kept without loss."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def document(self) -> dict[str, Any]:
        found = self.value(1)
        if self.at != len(self.text) or not isinstance(found, dict):
            raise LossyError
        return found

    def space(self) -> None:
        self.at = SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]  # it always matches

    def take(self, mark: str) -> bool:
        """Whether the text goes on with a mark; if so it and the space around it are skipped."""
        self.space()
        found = self.text.startswith(mark, self.at)
        if found:
            self.at += len(mark)
            self.space()
        return found

    def value(self, depth: int) -> Any:
        if self.take("{"):
            return self.object(depth)
        if self.take("["):
            return self.array(depth)
        for text, value in (("true", True), ("false", False), ("null", None)):
            if self.take(text):
                return value
        found = self.string() if self.text.startswith('"', self.at) else self.number()
        self.space()
        return found

    def object(self, depth: int) -> dict[str, Any]:
        if depth > 64:
            raise LossyError
        found: dict[str, Any] = {}
        if self.take("}"):
            return found
        while True:
            name = self.string()
            if name in found or not self.take(":"):
                raise LossyError
            found[name] = self.value(depth + 1)
            if self.take("}"):
                return found
            if not self.take(","):
                raise LossyError

    def array(self, depth: int) -> list[Any]:
        if depth > 64:
            raise LossyError
        found: list[Any] = []
        if self.take("]"):
            return found
        while True:
            found.append(self.value(depth + 1))
            if self.take("]"):
                return found
            if not self.take(","):
                raise LossyError

    def match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise LossyError
        self.at = found.end()
        return found

    def string(self) -> str:
        units = ESCAPE.sub(_unescaped, self.match(STRING)[1])
        try:
            # Two escapes may make one character; one alone is no text.
            return units.encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            raise LossyError from None

    def number(self) -> int | float:
        found = self.match(NUMBER)
        if found[1] is None and found[2] is None:
            if found[0] == "-0" or len(found[0]) > 30 or not -(2**64) <= int(found[0]) < 2**64:
                raise LossyError
            return int(found[0])
        number = float(found[0])
        if number in (float("inf"), -float("inf")) or (number == 0 and found[0][0] == "-"):
            raise LossyError
        return number


def _unescaped(found: re.Match[str]) -> str:
    return chr(int(found[1], 16)) if found[1] else ESCAPES.get(found[2], found[2])


def without_separator(array: Any) -> Any:
    if isinstance(array, dict) and array.get("dimension_separator") == ".":
        return {name: item for name, item in array.items() if name != "dimension_separator"}
    return array


def document_of(name: str, data: bytes) -> Document | None:
    """Return a document as data; None where it is kept as exact bytes."""
    try:
        value = Json(data.decode("utf-8")).document()
    except (LossyError, UnicodeDecodeError):
        return None
    if name == ".zarray":
        value = without_separator(value)
    if name == ".zmetadata" and isinstance(value.get("metadata"), dict):
        value["metadata"] = {
            path: without_separator(item) if re.search(r"(^|/)\.zarray\Z", path) else item
            for path, item in value["metadata"].items()
        }
    return Document(value) if len(encode(value)) <= MIB else None


def text_of(value: Any) -> str:
    """Return the JSON text of a value as the format gives it."""
    if value is None or value is True or value is False:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return '"' + "".join(map(_escaped, value)) + '"'
    if isinstance(value, list):
        return "[" + ",".join(map(text_of, value)) + "]"
    names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
    return "{" + ",".join(text_of(name) + ":" + text_of(value[name]) for name in names) + "}"


def _escaped(character: str) -> str:
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    return short.get(character) or (f"\\u{ord(character):04x}" if character < " " else character)


def read_back(key: str, data: bytes) -> bytes:
    """Return what reading a key gives after ``data`` was written to it."""
    name = key.rpartition("/")[2]
    document = document_of(name, data) if name in DOCUMENTS else None
    return data if document is None else text_of(document.value).encode()
