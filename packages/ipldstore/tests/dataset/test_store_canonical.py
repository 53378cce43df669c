"""Same contents, same root: whatever the order, the detours and the ways in. The first promise of the package."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore
from zarr.core.buffer import cpu
from zarr.core.sync import sync

from ..support.store_samples import contents, through_pickle, written

# Few names, so that keys meet: as value and directory, as chunk and as array inside an array.
DIRECTORIES = st.lists(st.sampled_from(["a", "b", "c", "0", "1", "c.0"]), max_size=3).map("/".join)
NAMES = st.sampled_from(["0", "1", "0.1", "c", "c/0", "c/1/2", "17/3", "x", "é", "00", "c.1.2"])
DOCUMENTS = st.sampled_from([".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**66), 2**66) | st.floats() | st.text(max_size=5),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=4), below, max_size=3),
    max_leaves=8,
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            b'{"node_type":"array"}',
            b'{"node_type":"group"}',
            b'{"zarr_format":2}',
            b'{"x":NaN,"node_type":"array"}',
            b'{"dimension_separator":"."}',
            b"{}",
            b"[]",
            b"",
        ]
    ),
    st.dictionaries(st.text(max_size=4), JSON, max_size=4).map(lambda value: json.dumps(value).encode()),
    st.binary(max_size=8),
)
KEYS_AND_VALUES = st.one_of(
    st.tuples(st.tuples(DIRECTORIES, NAMES), st.binary(max_size=4)),
    st.tuples(st.tuples(DIRECTORIES, DOCUMENTS), TEXTS),
).map(lambda pair: ("/".join(part for part in pair[0] if part), pair[1]))
CONTENTS = st.lists(KEYS_AND_VALUES, max_size=25).map(dict)

SHUFFLED = st.randoms(use_true_random=False)


def read_back(key: str, data: bytes) -> bytes:
    """The bytes that a store gives for what was written."""
    store = IPLDStore()
    store[key] = data
    return store[key]


@given(wanted=CONTENTS, order=SHUFFLED)
def test_the_order_does_not_matter(wanted: dict[str, bytes], order: random.Random) -> None:
    first = written(wanted)
    keys = list(wanted)
    order.shuffle(keys)
    second = written({key: wanted[key] for key in keys})
    assert first.freeze() == second.freeze()
    assert contents(IPLDStore(first.castore, root=first.root_cid)) == contents(second)
    assert contents(second) == {key: read_back(key, data) for key, data in wanted.items()}


@given(wanted=CONTENTS, other=CONTENTS, order=SHUFFLED)
def test_what_was_there_before_does_not_matter(
    wanted: dict[str, bytes], other: dict[str, bytes], order: random.Random
) -> None:
    store = written(other)
    if order.random() < 0.8:
        store.freeze()
    steps = [*wanted, *(other.keys() - wanted.keys())]
    order.shuffle(steps)
    for key in steps:
        if key in wanted:
            store[key] = wanted[key]
        else:
            del store[key]
        if order.random() < 0.2:
            store.freeze()
    assert store.freeze() == written(wanted).freeze()
    assert contents(store) == {key: read_back(key, data) for key, data in wanted.items()}


@given(wanted=CONTENTS)
def test_reading_back_and_writing_again_gives_the_same_root(wanted: dict[str, bytes]) -> None:
    store = written(wanted)
    root = store.freeze()
    assert written(contents(store)).freeze() == root
    assert IPLDStore.from_car(store.to_car()).canonicalize() == root


class Detours(RuleBasedStateMachine):
    """A dict, and a store that goes every way there is; after each freeze it has the root of a new store."""

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, bytes] = {}
        self.store = IPLDStore(MappingCAStore())
        self.seen: list[tuple[Any, dict[str, bytes]]] = []

    @initialize(start=CONTENTS)
    def begin(self, start: dict[str, bytes]) -> None:
        for key, data in start.items():
            self.write((key, data), how=0)

    @rule(pair=KEYS_AND_VALUES, how=st.integers(0, 3))
    def write(self, pair: tuple[str, bytes], how: int) -> None:
        key, data = pair
        if how == 0:
            self.store[key] = data
        elif how == 1:
            self.store.set_sync(key, cpu.Buffer.from_bytes(data))
        elif how == 2:
            sync(self.store.set(key, cpu.Buffer.from_bytes(data)))
        else:
            sync(self.store.set_if_not_exists(key, cpu.Buffer.from_bytes(data)))
            if key in self.model:
                return
        self.model[key] = read_back(key, data)

    @rule(array=DIRECTORIES, width=st.integers(1, 5), sharp=st.booleans())
    def write_an_array(self, array: str, width: int, *, sharp: bool) -> None:
        """Enough chunks for an index, in either format's keys."""
        form = "{}/{}" if sharp else "{}.{}"
        for row in range(30):
            for column in range(width):
                key = "/".join(filter(None, (array, form.format(row, column))))
                self.store[key] = b"%d" % row
                self.model[key] = b"%d" % row

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.model:
            key = data.draw(st.sampled_from(sorted(self.model)))
            del self.store[key]
            del self.model[key]

    @rule(prefix=DIRECTORIES)
    def delete_below(self, prefix: str) -> None:
        sync(self.store.delete_dir(prefix))
        self.model = {key: data for key, data in self.model.items() if prefix and not key.startswith(f"{prefix}/")}

    @rule()
    def freeze(self) -> None:
        root = self.store.freeze()
        assert root == written(self.model).freeze()
        self.seen.append((root, dict(self.model)))

    @rule()
    def reopen(self) -> None:
        self.freeze()
        self.store = IPLDStore(self.store.castore, root=str(self.store.root_cid))

    @rule()
    def pickle(self) -> None:
        again = through_pickle(self.store)
        assert again == self.store
        self.store = again

    @rule()
    def through_a_car(self) -> None:
        self.store = IPLDStore.from_car(self.store.to_car())

    @rule(data=st.data())
    def go_back(self, data: st.DataObject) -> None:
        kept = [(root, model) for root, model in self.seen if root in self.store.castore]
        if kept:
            at = data.draw(st.integers(0, len(kept) - 1))
            root, model = kept[at]
            self.store.set_root(root, discard_changes=True)
            self.model = dict(model)

    @rule(key=KEYS_AND_VALUES)
    def read(self, key: tuple[str, bytes]) -> None:
        assert self.store.mapping.get(key[0]) == self.model.get(key[0])
        assert (key[0] in self.store) == (key[0] in self.model)

    @invariant()
    def the_keys_are_those_of_the_model(self) -> None:
        keys = list(self.store)
        assert len(keys) == len(set(keys))
        assert set(keys) == self.model.keys()

    def teardown(self) -> None:
        assert contents(self.store) == self.model
        assert self.store.freeze() == written(self.model).freeze()
        assert self.store.canonicalize() == self.store.root_cid


@pytest.mark.slow
def test_any_detour() -> None:
    few = settings(max_examples=40, stateful_step_count=20, suppress_health_check=[HealthCheck.too_slow])
    run_state_machine_as_test(Detours, settings=few)


@pytest.mark.parametrize("count", [90, 95, 2048, 2049, 4500])
def test_at_the_sizes_where_the_form_changes(count: int) -> None:
    """Growing to a size, shrinking to it, and reopening on the way, at the real limits of the format."""
    order, castore = random.Random(count), MappingCAStore()
    key = "a/c/{}".format
    metadata = b'{"node_type":"array","zarr_format":3}'
    wanted = {"a/zarr.json": metadata} | {key(number): b"%d" % (number % 7) for number in range(count)}
    root = written(wanted).freeze()

    grown = IPLDStore(castore)
    numbers = list(range(count))
    order.shuffle(numbers)
    for at, number in enumerate(numbers):
        if at == count // 2:
            grown["a/zarr.json"] = metadata
        if at in (50, 93, 2000, 4096):
            grown = IPLDStore(castore, root=grown.freeze())
        grown[key(number)] = b"%d" % (number % 7)
    assert grown.freeze() == root

    shrunk = written(wanted | {key(number): b"%d" % number for number in range(count, count + 3000)}, castore)
    shrunk = IPLDStore(castore, root=shrunk.freeze())
    for number in range(count, count + 3000):
        del shrunk[key(number)]
    assert shrunk.freeze() == root


def test_many_names() -> None:
    castore = MappingCAStore()
    wanted = {f"array {number}/.zarray": b'{"shape":[%d]}' % number for number in range(2049)}
    root = written(wanted).freeze()
    store = written(wanted | {"one more/.zarray": b"{}"}, castore)
    store.freeze()
    del store["one more/.zarray"]
    assert store.freeze() == root
    sync(store.delete_dir("array 0"))
    fewer = IPLDStore(castore, root=store.freeze())
    fewer["array 0/.zarray"] = b'{"shape": [0]}'
    assert fewer.freeze() == root
