"""zarr's own tests of stores pass as they are: none is overridden, skipped or expected to fail.

``test_nothing_is_overridden`` holds that for the classes here; the state machines and the stores that they drive are
used as they are.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ipld_castore import FileSystemCAStore, MappingCAStore, ObjectCAStore
from ipldstore import IPLDStore
from zarr.abc.store import SupportsDeleteSync, SupportsGetSync, SupportsSetSync
from zarr.core.buffer import Buffer, cpu
from zarr.testing.store import StoreTests


class Suite(StoreTests[IPLDStore, cpu.Buffer]):
    """What zarr asks for: a store's class, its arguments, two verbs past the store, and three small tests."""

    store_cls = IPLDStore
    buffer_cls = cpu.Buffer

    async def set(self, store: IPLDStore, key: str, value: Buffer) -> None:
        store.mapping[key] = value.to_bytes()

    async def get(self, store: IPLDStore, key: str) -> Buffer:
        return self.buffer_cls.from_bytes(store.mapping[key])

    def test_store_repr(self, store: IPLDStore) -> None:
        assert repr(store).startswith("<IPLDStore ")
        assert repr(store).endswith(f" over {store.castore!r}>")

    def test_store_supports_writes(self, store: IPLDStore) -> None:
        assert store.supports_writes
        assert store.supports_deletes

    def test_store_supports_listing(self, store: IPLDStore) -> None:
        assert store.supports_listing


class TestInMemory(Suite):
    @pytest.fixture
    def store_kwargs(self) -> dict[str, Any]:
        return {"castore": MappingCAStore()}


class TestInAFolder(Suite):
    @pytest.fixture
    def store_kwargs(self, tmp_path: Path) -> dict[str, Any]:
        return {"castore": FileSystemCAStore(tmp_path / "blocks", fsync=False)}


class TestFromARoot(Suite):
    """A store over a root, instead of a new one."""

    @pytest.fixture
    def store_kwargs(self) -> dict[str, Any]:
        castore = MappingCAStore()
        return {"castore": castore, "root": IPLDStore(castore).freeze()}


class TestInObjects(Suite):
    @pytest.fixture
    def store_kwargs(self) -> dict[str, Any]:
        obstore: Any = pytest.importorskip("obstore.store", reason="the extra object is not installed")
        return {"castore": ObjectCAStore(obstore.MemoryStore())}


@pytest.mark.slow
class TestInABucket(Suite):
    @pytest.fixture
    def store_kwargs(self, atomic_s3: Any, bucket: str) -> dict[str, Any]:
        return {"castore": ObjectCAStore.from_url(f"s3://{bucket}/zarr", **atomic_s3.options())}


WANTED = {"set", "get", "store_cls", "buffer_cls", "store_kwargs"}
"""What a user of zarr's suite has to give, beside the tests that are abstract there."""


@pytest.mark.parametrize("suite", [Suite, TestInMemory, TestInAFolder, TestInObjects, TestInABucket, TestFromARoot])
def test_nothing_is_overridden(suite: type[Suite]) -> None:
    abstract = {name for name, item in vars(StoreTests).items() if getattr(item, "__isabstractmethod__", False)}
    own = {name for name in vars(suite) if not name.startswith("__")} - WANTED - {"pytestmark"}
    assert own <= abstract
    marks = [mark for item in [suite, *vars(suite).values()] for mark in getattr(item, "pytestmark", [])]
    assert {mark.name for mark in marks} <= {"slow"}


def test_zarr_has_no_reason_to_skip() -> None:
    """zarr's tests of the synchronous verbs and of deleting look at these properties."""
    store = IPLDStore()
    assert isinstance(store, SupportsGetSync)
    assert isinstance(store, SupportsSetSync)
    assert isinstance(store, SupportsDeleteSync)
    assert store.supports_deletes


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["ZarrStoreStateMachine", "ZarrHierarchyStateMachine"])
@pytest.mark.parametrize("backend", ["memory", "folder", "objects", "bucket"])
def test_state_machines(machine: str, backend: str, request: pytest.FixtureRequest) -> None:
    """In a process of their own: hypothesis takes short strings of all loaded test modules for likely inputs.

    So, beside the other tests here, it would come up with a group called ".zarray", which the format refuses
    (section 1) and zarr's strategies do not know of.
    """
    script = Path(__file__).parents[1] / "support" / "processes" / "state_machines.py"
    options = {}
    if backend == "bucket":
        server, bucket = request.getfixturevalue("atomic_s3"), request.getfixturevalue("bucket")
        options = {"url": f"s3://{bucket}", **server.options()}
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(script), machine, backend],
        input=json.dumps(options),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.split() == [machine, backend, "passed"]
