"""Forks: what they changed is merged in any order, as often as one likes, or it is said what conflicts."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import ipldstore
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import BlockMissingError, Changes, Conflict, ConflictError, IPLDStore, IPLDStoreError

from ..support.processes import FRESH
from ..support.store_samples import contents, through_pickle, written

SOME = {"zarr.json": b"{}", "a/zarr.json": b'{"node_type":"array"}', "a/c/0": b"zero", "a/c/1": b"one"}


def store_with(changes: dict[str, bytes | None], castore: ContentAddressableStore | None = None) -> IPLDStore:
    store = written(SOME, castore)
    change(store, changes)
    return store


def change(store: IPLDStore, changes: dict[str, bytes | None]) -> None:
    for key, data in changes.items():
        if data is None:
            store.mapping.pop(key, None)
        else:
            store[key] = data


def change_a_fork(fork: IPLDStore, changes: dict[str, bytes | None]) -> Changes:
    """What a task does: it writes, and returns what it changed."""
    change(fork, changes)
    return fork.changes()


PARTS: list[dict[str, bytes | None]] = [
    {"a/c/2": b"two", "a/c/3": bytes((1 << 20) + 1)},
    {"a/zarr.json": b'{"node_type":"array","attributes":{"x":1.0}}', "a/c/0": None},
    {"b/c/0": b"b", "a/c/1": b"another"},
]
WHOLE = {key: data for part in PARTS for key, data in part.items()}


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_any_order_and_grouping_gives_the_root_of_one_writer(
    castore: ContentAddressableStore, order: tuple[int, ...]
) -> None:
    store = written(SOME, castore)
    before = store.freeze()
    forks = [store.fork() for _ in PARTS]
    changes = [change_a_fork(fork, part) for fork, part in zip(forks, PARTS, strict=True)]
    assert contents(store) == SOME
    assert store.freeze() == before, "forks change nothing until they are merged"
    first, second, third = (changes[number] for number in order)
    store.merge(first, second)
    store.merge(third, first)
    store.merge(*forks)
    assert store.freeze() == store_with(WHOLE).freeze()
    store.merge(*changes)
    assert not store.has_changes


def test_a_fork_of_a_fork_and_a_fork_that_merges() -> None:
    store = written(SOME)
    left, right = store.fork(), store.fork()
    change(left, PARTS[0])
    below = left.fork()
    change(below, {"a/c/2": b"two again"})
    change(right, PARTS[2])
    left.merge(below)
    left.merge(right)
    store.merge(right, left)
    kept = {"a/c/0": b"zero", "a/zarr.json": SOME["a/zarr.json"]}
    assert store.freeze() == store_with(WHOLE | kept | {"a/c/2": b"two again"}).freeze()


@pytest.mark.parametrize("value", [b"y", None], ids=["written", "deleted"])
def test_what_a_fork_changes_after_a_merge_follows_the_fork_that_was_merged(value: bytes | None) -> None:
    store = written(SOME)
    left, right = store.fork(), store.fork()
    change(left, {"a/c/0": b"x"})
    right.merge(left)
    change(right, {"a/c/0": value})
    store.merge(left, right)
    assert store.mapping.get("a/c/0") == value
    own = store.fork()
    change(own, {"a/c/1": b"first"})
    below = own.fork()
    change(below, {"a/c/1": b"second"})
    own.merge(below)
    change(own, {"a/c/1": value})
    store.merge(below, own)
    assert store.mapping.get("a/c/1") == value


def test_what_a_fork_takes_back_after_a_merge_is_not_lost() -> None:
    """Both orders of the two forks are possible, and end differently, so that is a conflict."""
    store = written(SOME)
    left, right = store.fork(), store.fork()
    change(left, {"a/c/0": b"x"})
    right.merge(left)
    change(right, {"a/c/0": SOME["a/c/0"]})
    with pytest.raises(ConflictError, match="a/c/0"):
        store.merge(left, right)


def test_merging_while_the_fork_goes_on() -> None:
    """Changes that were given out stay: what follows them does not conflict with them, nor do they come back."""
    store = written(SOME)
    fork = store.fork()
    fork["a/c/0"] = b"first"
    first = fork.changes()
    assert fork.changes() == first
    store.merge(first)
    fork["a/c/0"] = b"second"
    store.merge(fork)
    store.merge(first)
    assert store["a/c/0"] == b"second"
    late = written(SOME, store.castore)
    late.merge(fork.changes())
    late.merge(first)
    assert contents(late) == contents(store)


def test_what_came_back_is_no_change() -> None:
    store = written(SOME)
    fork = store.fork()
    fork["a/c/9"] = b"x"
    del fork["a/c/9"]
    fork["a/c/0"] = b"x"
    fork["a/c/0"] = b"zero"
    assert len(fork.changes()) == 0


def test_changes_say_what_they_are() -> None:
    store = written(SOME)
    fork = store.fork()
    change(fork, {"a/c/2": b"two", "a/c/0": None, "zarr.json": b'{"attributes":{}}'})
    changes = fork.changes()
    assert changes.base_root == fork.base_root == store.freeze()
    assert changes.keys == {"a/c/2": store.castore.put_raw(b"two"), "a/c/0": None, "zarr.json": None}
    again = through_pickle(changes)
    assert again == changes
    assert again.writers == changes.writers
    assert repr(again) == f"<Changes: 3 keys since {store.root_cid}>"
    assert len(pickle.dumps(changes)) < 1000


def conflicting() -> tuple[IPLDStore, IPLDStore, IPLDStore]:
    store = written(SOME)
    left, right = store.fork(), store.fork()
    change(left, {"a/c/0": b"left", "a/c/7": b"seven"})
    change(right, {"a/c/0": b"right", "a/c/8": b"eight"})
    return store, left, right


def test_a_conflict_names_key_contents_and_forks_and_changes_nothing() -> None:
    store, left, right = conflicting()
    before = store.freeze()
    with pytest.raises(ConflictError) as caught:
        store.merge(left, right)
    named = ["a/c/0", *left.changes().writers, *right.changes().writers]
    named += [str(store.castore.put_raw(data)) for data in (b"zero", b"left", b"right")]
    assert all(word in str(caught.value) for word in named)
    assert store.freeze() == before
    store.merge(left)
    with pytest.raises(ConflictError):
        store.merge(right)
    assert contents(store) == SOME | {"a/c/0": b"left", "a/c/7": b"seven"}


@pytest.mark.parametrize("number", [0, 1])
def test_what_decides_a_conflict(number: int) -> None:
    store, *forks = conflicting()
    chosen, other = forks[number], forks[1 - number]
    first = written(SOME, store.castore)
    first.merge(chosen, other, on_conflict="first")
    asked: list[Conflict] = []

    def ask(conflict: Conflict) -> Any:
        asked.append(conflict)
        return conflict.ends[chosen.changes().writers[0]]

    store.merge(*forks, on_conflict=ask)
    assert [conflict.key for conflict in asked] == ["a/c/0"]
    assert contents(first) == contents(store) == SOME | {"a/c/0": chosen["a/c/0"], "a/c/7": b"seven", "a/c/8": b"eight"}
    store.merge(other, *forks)  # it has been decided


def test_an_answer_that_is_none_of_the_contents() -> None:
    store, *forks = conflicting()
    with pytest.raises(ValueError, match="a/c/0"):
        store.merge(*forks, on_conflict=lambda _: b"mine")
    store.merge(*forks, on_conflict=lambda conflict: conflict.base)
    assert store["a/c/0"] == b"zero"


@pytest.mark.parametrize("choice", ["last", "First", None, 3])
def test_what_decides_nothing_is_refused_also_without_a_conflict(choice: Any, tmp_path: Path) -> None:
    """A misspelt word would be found in the one run that has a conflict."""
    store = written(SOME)
    folder = FileSystemCAStore(tmp_path)
    for call in (store.merge, store.freeze, lambda **how: ipldstore.recover(folder, **how)):
        with pytest.raises(ValueError, match='on_conflict to be "raise", "first" or a callable, found'):
            call(on_conflict=choice)


def test_what_is_no_fork() -> None:
    store = written(SOME)
    with pytest.raises(IPLDStoreError, match=r"store\.fork\(\)"):
        store.merge(written(SOME))
    with pytest.raises(ValueError, match="read-only"):
        store.with_read_only(True).merge(store.fork())
    with pytest.raises(IPLDStoreError, match="copies"):
        store.resolve_conflict("a/c/0", "ab")
    fork = store.fork()
    fork["a/c/0"] = b"x"
    with pytest.raises(IPLDStoreError, match=r"changes\(\)"):
        fork.freeze()


@settings(max_examples=15)
@given(st.data())
def test_changes_of_a_store_lead_from_its_root_to_what_it_has(data: st.DataObject) -> None:
    """Keys in directories and indexes, documents embedded and linked, nodes that come and go."""
    names = st.sampled_from(
        ["zarr.json", "a/zarr.json", "a/c/0", "a/c/1", "a/b/c/1", "a/b/.zarray", "b", "b/c", "b/c/d"]
    )
    documents = st.sampled_from([b"{}", b'{"node_type":"array"}', b'{"x":1}', b'{"x":1.0}', b"no document"])
    before, after = (data.draw(st.dictionaries(names, documents)) for _ in range(2))
    many = {f"a/c/{number}": b"%d" % number for number in range(100)}  # an index
    before |= data.draw(st.sampled_from([{}, many]))
    after |= data.draw(st.sampled_from([{}, many]))
    store = written(before)
    base = store.freeze()
    change(store, dict.fromkeys(before, None) | after)
    changes = store.changes()
    assert set(changes.keys) == {key for key in {*before, *after} if before.get(key) != after.get(key)}
    again = IPLDStore(store.castore, root=base)
    again.merge(pickle.loads(pickle.dumps(changes)))  # noqa: S301  # our own pickle
    assert contents(again) == contents(store) == after
    again.merge(changes)
    assert again.freeze() == store.freeze() == written(after).freeze()
    assert len(store.changes()) == 0


def test_changes_of_a_store_are_since_it_was_frozen_or_set_to_a_root() -> None:
    store = written(SOME)
    assert set(store.changes().keys) == set(SOME), "a new one"
    pickle.dumps(store)
    root = store.freeze()
    store["a/c/5"] = b"five"
    pickle.dumps(store)  # writes a root, which is kept nowhere
    del store["a/c/0"]
    assert set(store.changes().keys) == {"a/c/0", "a/c/5"}
    assert store.has_changes, "they are not frozen by that"
    other = store.freeze()
    store.set_root(root)
    assert len(store.changes()) == 0
    store["a/c/6"] = b"six"
    ours = store.changes()
    assert ours.base_root == root
    store.set_root(other, discard_changes=True)
    store.merge(ours)
    assert contents(store) == {key: data for key, data in SOME.items() if key != "a/c/0"} | {
        "a/c/5": b"five",
        "a/c/6": b"six",
    }


def test_a_fork_that_is_closed_closes_nothing_else(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    with store.fork() as fork:
        fork["a/c/0"] = b"x"
    store.merge(fork)
    assert store["a/c/0"] == b"x"


def run_elsewhere(context: Any, action: Callable[..., Any], *arguments: Any) -> Any:
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(action, *arguments).result(60)


def test_other_processes_write_forks(tmp_path: Path) -> None:
    store = written(SOME, FileSystemCAStore(tmp_path, fsync=False))
    with ProcessPoolExecutor(2, mp_context=FRESH) as pool:
        store.merge(*pool.map(change_a_fork, [store.fork() for _ in PARTS], PARTS))
    assert store.freeze() == store_with(WHOLE).freeze()


def test_a_forked_process_writes_what_it_has_in_memory(tmp_path: Path) -> None:
    """Two children of one process are two writers, without a pickle on the way."""
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    context: Any = multiprocessing.get_context("fork")
    store = written(SOME, FileSystemCAStore(tmp_path, fsync=False))
    fork = store.fork()
    fork["a/c/5"] = b"before"
    results = context.Queue()
    children = [context.Process(target=lambda part=part: results.put(change_a_fork(fork, part))) for part in PARTS]
    for child in children:
        child.start()
    changes = [results.get(timeout=60) for _ in children]
    for child in children:
        child.join(60)
    assert len({writer for each in changes for writer in each.writers}) == 6, "children share no writer"
    store.merge(*changes)
    assert store.freeze() == store_with(WHOLE | {"a/c/5": b"before"}).freeze()


def test_blocks_that_did_not_come_back() -> None:
    """A dict goes to another process as a copy: the blocks that were put there stay there."""
    store = written(SOME, MappingCAStore())
    before = store.freeze()
    changes = run_elsewhere(FRESH, change_a_fork, store.fork(), {"a/c/77": b"lost"})
    with pytest.raises(BlockMissingError, match="'a/c/77'"):
        store.merge(changes)
    assert store.freeze() == before


KEYS = ["a/c/0", "a/c/1", "a/c/7", "b/c/0", "zarr.json"]
PART = st.dictionaries(st.sampled_from(KEYS), st.sampled_from([None, b"x", b'{"y":1}']), max_size=4)


@given(st.lists(PART, min_size=1, max_size=5), st.data())
def test_merging_is_associative_and_idempotent(parts: list[dict[str, bytes | None]], data: st.DataObject) -> None:
    """Any split into calls, in any order, with any repeated, comes to one result, or to a conflict each time."""
    base = written(SOME)
    changes = [change_a_fork(base.fork(), part) for part in parts]
    effective = [{key for key in part if part[key] != SOME.get(key)} for part in parts]
    conflict = any(
        parts[one][key] != parts[other][key]
        for one, other in itertools.combinations(range(len(parts)), 2)
        for key in effective[one] & effective[other]
    )
    calls = data.draw(st.permutations([*range(len(parts)), *data.draw(st.lists(st.sampled_from(range(len(parts)))))]))
    store = written(SOME, base.castore)
    failed = False
    while calls:
        size = data.draw(st.integers(1, len(calls)))
        try:
            store.merge(*(changes[number] for number in calls[:size]))
        except ConflictError:
            failed = True
        calls = calls[size:]
    assert failed == conflict
    if not conflict:
        whole = {key: part[key] for part, keys in zip(parts, effective, strict=True) for key in keys}
        assert store.freeze() == store_with(whole).freeze()
