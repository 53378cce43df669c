"""Messages of errors know which of their parts programs say in words of their own."""

from __future__ import annotations

import pickle
from itertools import product

import ipld_car
import pytest
from ipld_car import MalformedError
from ipld_car._cli.wording import WORDS
from ipld_car.messages import Message, Term, message_in_words
from ipld_car.terminal.testing import terms_of

FORCE = Message("found {ref}; ", Term("force=True"), " overwrites it")


def test_text_that_looks_like_a_term_is_left_as_it_is() -> None:
    """Only terms are said otherwise: a file may be called as an argument is."""
    message = Message("found max_entries in '{x}': ", Term("max_entries"))
    assert message.in_words({"max_entries": "--max-entries"}) == "found max_entries in '{x}': --max-entries"


def test_an_error_in_other_words_keeps_its_place_and_what_was_said_above_it() -> None:
    def read() -> None:
        try:
            raise MalformedError(FORCE, offset=7)
        except MalformedError as error:
            raise RuntimeError(f"reading a.car: {error}") from None

    with pytest.raises(RuntimeError) as caught:
        read()
    told = "reading a.car: found {ref}; %s overwrites it (offset 7)"
    assert str(caught.value) == message_in_words(caught.value, {}) == told % "force=True"
    assert message_in_words(caught.value, {"force=True": "--force"}) == told % "--force"


def test_a_message_stays_one_on_the_way_from_another_process() -> None:
    for error, protocol in product((MalformedError(FORCE, offset=7), ValueError(FORCE)), range(6)):
        copy = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # our own
        assert message_in_words(copy, {"force=True": "--force"}) == str(error).replace("force=True", "--force")


def test_messages_in_messages_are_one() -> None:
    branch = Term("reset()", "reset('main')", name="main")
    message = Message(Message("found it; ", branch), ", or ", FORCE)
    assert message == "found it; reset('main'), or found {ref}; force=True overwrites it"
    assert message.in_words({"reset()": "`reset {name}`", "force=True": "-f"}) == (
        "found it; `reset main`, or found {ref}; -f overwrites it"
    )


def test_the_command_has_words_for_each_term() -> None:
    assert set(terms_of(ipld_car)) == WORDS.keys()
