"""zarr's own tests of stores pass as they are: none is overridden, skipped or expected to fail.

``test_nothing_is_overridden`` holds that for the classes here; the state machines are used without a subclass.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis.errors import UnsatisfiedAssumption
from hypothesis.stateful import run_state_machine_as_test
from ipld_castore import ContentAddressableStore, FileSystemCAStore, MappingCAStore
from ipldstore import IPLDStore
from zarr.abc.store import SupportsDeleteSync, SupportsGetSync, SupportsSetSync
from zarr.core.buffer import Buffer, cpu
from zarr.testing.stateful import ZarrHierarchyStateMachine, ZarrStoreStateMachine
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


WANTED = {"set", "get", "store_cls", "buffer_cls", "store_kwargs"}
"""What a user of zarr's suite has to give, beside the tests that are abstract there."""


@pytest.mark.parametrize("suite", [Suite, TestInMemory, TestInAFolder, TestFromARoot])
def test_nothing_is_overridden(suite: type[Suite]) -> None:
    abstract = {name for name, item in vars(StoreTests).items() if getattr(item, "__isabstractmethod__", False)}
    own = {name for name in vars(suite) if not name.startswith("__")} - WANTED
    assert own <= abstract
    assert not any(getattr(item, "pytestmark", []) for item in [suite, *vars(suite).values()])


def test_zarr_has_no_reason_to_skip() -> None:
    """Its tests of the synchronous verbs and of deleting look at these."""
    store = IPLDStore()
    assert isinstance(store, SupportsGetSync)
    assert isinstance(store, SupportsSetSync)
    assert isinstance(store, SupportsDeleteSync)
    assert store.supports_deletes


EXAMPLES = settings(max_examples=25, stateful_step_count=30)
DOCUMENTS = {".zarray", ".zgroup", ".zattrs", ".zmetadata", "zarr.json"}


class Rejecting(IPLDStore):
    """A store that tells hypothesis of a key with a document's name before its last part: that was no example.

    hypothesis takes string constants out of local modules, so it comes up with nodes that are called ".zarray",
    which the format refuses (section 1). zarr's strategies know only of "zarr.json".
    """

    async def set(self, key: str, value: Buffer) -> None:
        try:
            await super().set(key, value)
        except ValueError:
            if not DOCUMENTS.isdisjoint(key.split("/")[:-1]):
                raise UnsatisfiedAssumption from None  # as reject() does, which works in the main thread only
            raise


def test_store_state_machine(castore: ContentAddressableStore) -> None:
    run_state_machine_as_test(lambda: ZarrStoreStateMachine(Rejecting(castore)), settings=EXAMPLES)  # type: ignore[arg-type]


def test_hierarchy_state_machine(castore: ContentAddressableStore) -> None:
    run_state_machine_as_test(lambda: ZarrHierarchyStateMachine(Rejecting(castore)), settings=EXAMPLES)  # type: ignore[arg-type]
