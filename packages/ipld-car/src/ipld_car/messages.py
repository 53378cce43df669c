"""Messages of errors whose parts are known, so that a command can say them in its own words: options for arguments."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import Self

__all__ = ["Message", "Term", "message_in_words"]


class Term(str):
    """A part of a message that Python users and users of a command need in different words.

    >>> merge = Term("merge()", "merge('bafyA', into='main')", ref="bafyA")
    >>> print(merge, "|", merge.in_words({"merge()": "`ipldstore merge WHAT {ref}`"}))
    merge('bafyA', into='main') | `ipldstore merge WHAT bafyA`

    :param name: what programs know the term by: the argument or call of Python that it stands for
    :param text: the words for Python users; the name unless given
    :param values: what other words for the term may contain, in braces
    """

    __slots__ = ("name", "values")
    name: str
    values: dict[str, str]

    def __new__(cls, name: str, text: str | None = None, /, **values: str) -> Self:
        """Make a term."""
        self = super().__new__(cls, name if text is None else text)
        self.name = name
        self.values = values
        return self

    def __reduce__(self) -> tuple[object, ...]:  # as protocols 0 and 1 know no slots
        return _restored, (type(self), self.name, str(self), self.values)

    def in_words(self, words: Mapping[str, str]) -> str:
        """Return the term in other words; as it is where they have none for it."""
        return words[self.name].format_map(self.values) if self.name in words else str(self)


class Message(str):
    """The message of an error, made of texts, terms and other messages.

    >>> message = Message("found the branch 'main'; ", Term("force=True"), " overwrites it")
    >>> print(message)
    found the branch 'main'; force=True overwrites it
    >>> print(message.in_words({"force=True": "--force"}))
    found the branch 'main'; --force overwrites it
    """

    __slots__ = ("parts",)
    parts: tuple[str, ...]

    def __new__(cls, *parts: str) -> Self:
        """Make a message."""
        self = super().__new__(cls, "".join(parts))
        self.parts = tuple(chain.from_iterable(each.parts if isinstance(each, Message) else (each,) for each in parts))
        return self

    def __reduce__(self) -> tuple[object, ...]:  # see Term
        return Message, self.parts

    def in_words(self, words: Mapping[str, str]) -> str:
        """Return the message in other words.

        :param words: what to say for a term, by its name
        """
        return "".join(each.in_words(words) if isinstance(each, Term) else each for each in self.parts)


def _restored(kind: type[Term], name: str, text: str, values: Mapping[str, str]) -> Term:
    return kind(name, text, **values)


def message_in_words(error: BaseException, words: Mapping[str, str]) -> str:
    """Return the text of an error in other words.

    The text of an error may contain the messages of the errors that it was raised from.

    >>> error = OSError(Message("pass ", Term("max_bytes")))
    >>> message_in_words(error, {"max_bytes": "--max-bytes"})
    'pass --max-bytes'

    :param words: what to say for a term, by its name
    """
    text, each, seen = str(error), error, set[int]()
    while id(each) not in seen:
        seen.add(id(each))
        for message in each.args:
            if isinstance(message, Message):
                text = text.replace(message, message.in_words(words))
        each = each.__cause__ or each.__context__ or each
    return text
