"""CarFile: damaged blocks are put again where they were, also where their length or CID is damaged."""

import random
import warnings
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ipld_car import CarError, CarFile, CarWarning

from ..support.car_samples import car_v2, outcome
from ..support.damaged_files import BLOCKS, PAIRS, PAYLOAD, index_of

WHOLE = car_v2(PAYLOAD, index=index_of(PAIRS))
FIRST = 51 + PAIRS[0][1]
END = 51 + len(PAYLOAD)
CODECS = {51 + at.offset + at.varint_size + 1 for _, _, at in outcome(PAYLOAD).blocks}
"""Where the codecs of CIDs are, of which no hash and no index tells."""


def repaired(path: Path, damaged: bytes) -> bytes:
    """Return a damaged archive after all that is lost was put again."""
    path.write_bytes(damaged)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", CarWarning)
        with CarFile.open(path, "a", fsync=False) as file:
            for each, data in BLOCKS:
                try:
                    assert file.get(each) == data
                except (KeyError, CarError):
                    file.put(each, data)
                    assert file.get(each) == data
    return path.read_bytes()


@given(st.integers(FIRST, END - 1), st.sampled_from([1, 2, 40, 400, 4096]), st.sampled_from(["flip", "zeros", "noise"]))
def test_a_damaged_span_comes_back(tmp_path_factory: pytest.TempPathFactory, at: int, size: int, kind: str) -> None:
    """Some bytes of sections are others, in heads, in payloads, over several sections: the file is what it was.

    A block with another codec is not lost: it is found by its multihash.
    """
    stop = min(at + size, END)
    if kind == "flip":
        wrong = bytes([WHOLE[at] ^ 1 << size % 8]) + WHOLE[at + 1 : stop]
    else:
        wrong = bytes(stop - at) if kind == "zeros" else random.Random(at).randbytes(stop - at)
    damaged = WHOLE[:at] + wrong + WHOLE[stop:]
    lost = any(old != new and place not in CODECS for place, (old, new) in enumerate(zip(WHOLE, damaged, strict=True)))
    assert repaired(tmp_path_factory.mktemp("a") / "a.car", damaged) == (WHOLE if lost else damaged)


def test_nothing_is_written_where_it_is_not_certain_what_was_there(tmp_path: Path) -> None:
    """An index that names the middle of another block is no reason to write there."""
    place = next(at for name, at in PAIRS if name == BLOCKS[9][0])
    lies = [(name, at + 20 if name == BLOCKS[7][0] else at) for name, at in PAIRS]
    damaged = bytearray(car_v2(PAYLOAD, index=index_of(lies)))
    damaged[51 + place : 51 + place + 4] = bytes(4)
    path = tmp_path / "a.car"
    path.write_bytes(damaged)
    with CarFile.open(path, "a") as file:
        with pytest.raises(CarError):
            file.put(*BLOCKS[7])
        assert not file.put(*BLOCKS[9])
        with pytest.warns(CarWarning, match="its index is wrong"):
            assert not file.put(*BLOCKS[7])
    assert [pair[:2] for pair in outcome(path.read_bytes()).blocks] == BLOCKS
