"""The error classes: one base, a place in the message, and pickles that keep both."""

import copy
import pickle

import ipld_car
import pytest
from ipld_car import (
    CarError,
    CarReader,
    HashMismatchError,
    LimitError,
    MalformedError,
    TruncatedError,
    UnverifiableError,
)

from .support.car_samples import SMALL_V1, car_v1, cid, section

FAMILY = [CarError, TruncatedError, MalformedError, LimitError, HashMismatchError, UnverifiableError]


@pytest.mark.parametrize("kind", FAMILY)
def test_every_error_is_a_car_error_and_a_value_error(kind: type[CarError]) -> None:
    assert issubclass(kind, CarError)
    assert issubclass(kind, ValueError)
    assert kind.__doc__
    assert kind.__name__ in ipld_car.__all__


@pytest.mark.parametrize("kind", FAMILY)
@pytest.mark.parametrize(("offset", "block"), [(None, None), (7, None), (7, 0), (None, 3)])
def test_errors_pickle_and_copy(kind: type[CarError], offset: int | None, block: int | None) -> None:
    error = kind("expected this, found that", offset=offset, block=block)
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        again = pickle.loads(pickle.dumps(error, protocol))  # noqa: S301  # made right here
        assert type(again) is kind
        assert (again.message, again.offset, again.block) == (error.message, offset, block)
        assert str(again) == str(error)
    assert str(copy.copy(error)) == str(copy.deepcopy(error)) == str(error)


def test_the_message_tells_block_and_offset() -> None:
    assert str(CarError("what")) == "what"
    assert str(CarError("what", offset=0)) == "what (offset 0)"
    assert str(CarError("what", offset=5, block=0)) == "what (block 0, offset 5)"


def test_at_keeps_a_place_that_is_known() -> None:
    error = CarError("what", offset=5)
    assert error.at(9, 2) is error
    assert (error.offset, error.block) == (5, 2)
    assert (error.at(1, 1).offset, error.block) == (5, 2)


def test_an_error_of_a_reader_pickles() -> None:
    with pytest.raises(TruncatedError) as caught:
        list(CarReader(SMALL_V1[:-1]))
    again = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  # made right here
    assert str(again) == str(caught.value)
    assert "(block 5, offset " in str(again)


def test_messages_do_not_hold_the_block() -> None:
    """A message is for people to read; a block can have 8 MiB."""
    data = bytes(1 << 20)
    for name in (cid(b"other"), cid(b"other" * 300, "raw", "identity")):
        with pytest.raises(HashMismatchError) as caught:
            list(CarReader(car_v1(section(data, name))))
        assert len(str(caught.value)) < 3000
