"""Roots that no writer makes: an error that names the block, never a hang, a recursion or a wrong merge."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from ipld_car import cids
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, IPLDStoreError, NodeError
from ipldstore._merge import diff as diff_module
from ipldstore._merge.diff import diff
from ipldstore._merge.merge import merge_roots
from ipldstore._merge.rules import side_changes

from ..format.test_hostile_nodes_index import CASES
from ..support.hostile import Blocks, Case, V
from ..support.reference import Link
from ..support.store_samples import DAMAGES, damage
from .datasets import Maker
from .roots import array_document, edited, root_of


def castore_of(blocks: Blocks) -> tuple[MappingCAStore, bytes]:
    castore = MappingCAStore(blocks.mapping)
    return castore, root_of(castore, {})


def read_whole(castore: MappingCAStore, empty: bytes, root: bytes) -> None:
    for _ in diff(castore, empty, root).chunk_keys():
        pass


@pytest.mark.parametrize("make", [pytest.param(make, id=name) for name, make in CASES.items()])
def test_what_breaks_a_bound_is_named(make: Callable[[Blocks], Case]) -> None:
    blocks = Blocks()
    case = make(blocks)
    castore, empty = castore_of(blocks)
    root = bytes(case.root)
    other = root_of(castore, {"a/zarr.json": array_document((1,), (1,)), "a/c/9/9": b"1", "g/b": b"1", "free": b"1"})
    with pytest.raises(NodeError, match=cids.to_text(bytes(case.bad))):
        read_whole(castore, empty, root)
    with pytest.raises(NodeError, match=cids.to_text(bytes(case.bad))):
        read_whole(castore, other, root)
    with pytest.raises(NodeError, match=cids.to_text(bytes(case.bad))):
        merge_roots(castore, [empty], root, other)


def bomb(blocks: Blocks, depth: int, leaf: Link) -> bytes:
    """Return a root of few blocks with 2 ** depth keys."""
    node: Any = {"v": leaf}
    for _ in range(depth):
        link = blocks.put(node)
        node = {"l": link, "r": link}
    return bytes(blocks.put(node))


def test_a_root_that_names_more_than_it_has_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty blocks name 2 ** 60 keys: the counts that stop it are lowered, as reaching them takes a minute."""
    monkeypatch.setattr(diff_module, "_MAX_DIRECTORIES", 1000)
    monkeypatch.setattr(side_changes, "MAX_CHANGES", 1000)
    blocks = Blocks()
    one, other = bomb(blocks, 60, V), bomb(blocks, 60, blocks.put_block(b"other", 0x55))
    castore, empty = castore_of(blocks)
    changed = root_of(castore, {"note": b"1"})
    for before, after in ((empty, one), (one, empty), (one, other)):
        with pytest.raises(IPLDStoreError, match=r"expected .* found more"):
            diff(castore, before, after)
    with pytest.raises(IPLDStoreError, match=r"expected .* found more"):
        merge_roots(castore, [empty], one, other)
    with pytest.raises(IPLDStoreError, match=r"expected .* found more"):
        merge_roots(castore, [empty, one], changed, other)
    assert not diff(castore, one, one)
    merged = merge_roots(castore, [empty], one, changed)
    assert merged.root is not None
    assert merge_roots(castore, [one], empty, edited(castore, one, lambda store: store.mapping.update(note=b"1"))).root


def test_a_root_of_the_greatest_depth_is_no_recursion() -> None:
    castore = MappingCAStore()
    path = "/".join("abcdefg" * 9)
    base = root_of(castore, {f"{path}/note": b"0"})
    ours, theirs = (root_of(castore, {f"{path}/note": b"0", f"{path}/{name}": b"1"}) for name in ("x", "y"))
    merged = merge_roots(castore, [base], ours, theirs)
    assert merged.root == root_of(
        castore, {f"{path}/{name}": b"1" if name in "xy" else b"0" for name in ("note", "x", "y")}
    )


@pytest.mark.parametrize("how", DAMAGES)
def test_a_lost_or_damaged_node_is_an_error(how: str) -> None:
    make = Maker(MappingCAStore(), 3, False)
    base = make.base(500)
    ours, theirs = make.edited(base, make.set_values("air", 5, 1)), make.edited(base, make.set_values("air", 400, 2))
    nodes = [cid for cid in make.castore.get_dag(cids.from_validated(ours)) if cid[0].codec.name == "dag-cbor"]
    shared = {bytes(cid) for cid, _ in make.castore.get_dag(cids.from_validated(base))}
    lost = next(cid for cid, _ in reversed(nodes) if bytes(cid) not in shared)
    damage(make.castore, lost, how)
    with pytest.raises(IPLDStoreError, match=str(lost)):
        merge_roots(make.castore, [base], ours, theirs)
    with pytest.raises(IPLDStoreError, match=str(lost)):
        diff(make.castore, base, ours)


def test_no_chunk_has_to_be_there() -> None:
    make = Maker(MappingCAStore(), 3, False)
    base = make.base(50)
    ours, theirs = make.edited(base, make.append(50, 3)), make.edited(base, make.set_values("air", 0, 2))
    expected = make.edited(ours, make.set_values("air", 0, 2))
    for cid in list(make.castore):
        if cid.codec.name == "raw":
            make.castore.delete_block(cid)
    assert make.merge(base, ours, theirs).root == expected
    assert IPLDStore(make.castore, root=expected).stats().keys
