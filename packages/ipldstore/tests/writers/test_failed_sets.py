"""A set that failed may have left its note or not. What its writer does next never conflicts with it."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ipld_castore.testing import BlockServer
from ipldstore import FileSystemCAStore, IPFSStore, IPLDStore, IPLDStoreError, ObjectCAStore

from ..support.store_samples import contents, written
from .workers.copies import Process, failing_appends

KEY = "a/c/0"
BASE = {"zarr.json": b"{}", KEY: b"base"}
AGAIN: dict[str, bytes | None] = {"other bytes": b"other", "the same": b"lost", "as before": b"base", "deleted": None}
"""What is written after the set of ``lost`` has failed."""

Failing = Callable[[], Any]
"""A context in which each note fails."""


def change(store: IPLDStore, data: bytes | None) -> None:
    if data is None:
        del store[KEY]
    else:
        store[KEY] = data


def check(store: IPLDStore, failing: Failing, again: str, *, looks: bool, failures: int) -> None:
    """Fail, write again, and compare with the root of one writer."""
    process, pickled = Process("worker"), pickle.dumps(store)
    copy = process.open(pickled)
    copy["a/c/first"] = b"first"
    for number in range(failures):
        with failing(), pytest.raises(IPLDStoreError, match=KEY):
            copy[KEY] = b"lost" if number == 0 else b"lost %d" % number
        if looks:  # the note is there, and is taken in
            assert store[KEY].startswith((b"lost", b"base"))
    change(copy, AGAIN[again])
    copy["a/c/last"] = b"last"
    copy = process.open(pickled)  # as each task does that is given the store; it looks for notes then
    model = {**BASE, "a/c/first": b"first", "a/c/last": b"last"}
    if (data := AGAIN[again]) is None:
        del model[KEY]
    else:
        model[KEY] = data
    assert contents(copy) == model
    assert contents(store) == model
    assert store.freeze() == written(model).freeze()
    change(copy, b"once more")
    assert store.freeze() == written({**model, KEY: b"once more"}).freeze()


@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "noted"])
@pytest.mark.parametrize("failures", [1, 3])
@pytest.mark.parametrize("looks", [False, True], ids=["unseen", "taken in"])
@pytest.mark.parametrize("again", AGAIN)
def test_in_a_folder(tmp_path: Path, again: str, looks: bool, failures: int, arrives: bool) -> None:
    folder = tmp_path / "blocks"
    store = written(BASE, FileSystemCAStore(folder, fsync=False))
    check(store, lambda: failing_appends(arriving=arrives), again, looks=looks, failures=failures)


@pytest.mark.covering
@pytest.mark.parametrize("arrives", [False, True], ids=["lost", "noted"])
@pytest.mark.parametrize("looks", [False, True], ids=["unseen", "taken in"])
@pytest.mark.parametrize("again", AGAIN)
def test_on_a_node(again: str, looks: bool, arrives: bool) -> None:
    with BlockServer() as server, IPFSStore(server.url) as castore:
        store = written(BASE, castore)
        check(store, lambda: failing_appends(arriving=arrives), again, looks=looks, failures=2)


async def lost_answer(exchange: Any) -> None:
    await exchange.forward()
    await exchange.reset()


async def lost_request(exchange: Any) -> None:
    await exchange.reset()


@pytest.mark.covering
@pytest.mark.parametrize("fault", [lost_answer, lost_request])
@pytest.mark.parametrize("what", ["note", "block"])
@pytest.mark.parametrize("looks", [False, True], ids=["unseen", "taken in"])
@pytest.mark.parametrize("again", AGAIN)
def test_in_a_bucket(
    atomic_s3: Any, bucket: str, s3_proxy: Any, again: str, looks: bool, what: str, fault: Any
) -> None:
    castore = ObjectCAStore.from_url(
        f"s3://{bucket}/air", **atomic_s3.options(s3_proxy.url), retry_config={"max_retries": 0}
    )
    store = written(BASE, castore)

    @contextmanager
    def failing() -> Iterator[None]:
        s3_proxy.inject(fault, 50, when=lambda request: is_wanted(request, what))  # a flush tries again
        yield
        assert s3_proxy.pending < 50
        s3_proxy.clear()

    check(store, failing, again, looks=looks, failures=2)


def is_wanted(request: Any, what: str) -> bool:
    """Return whether a request puts a note, or a block of a set that is to fail."""
    if request.method != "PUT":
        return False
    return "/.sessions/" in request.path if what == "note" else request.body.startswith(b"lost")
