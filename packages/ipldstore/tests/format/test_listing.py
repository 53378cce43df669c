"""Listings give the keys of the contents, in each form of a directory and after deletions."""

from __future__ import annotations

import pytest
from ipld_castore import MappingCAStore
from ipldstore._dataset.dataset import Dataset
from ipldstore._format.limits import Limits

pytestmark = pytest.mark.smoke

SMALL = Limits(inline=100, leaf=2, children=3, names=3, embedding=((1, 150), (2, 60)))
LINKED = b'{"node_type":"group","x":"' + b"y" * 40_000 + b'"}'


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("data", [b'{"node_type":{"x":{}}}', b'{"x":NaN}', LINKED])
def test_documents_are_no_directories(data: bytes, *, frozen: bool) -> None:
    dataset = Dataset(MappingCAStore())
    dataset.write("a/zarr.json", data)
    if frozen:
        dataset.freeze()
    assert list(dataset.names("a/zarr.json")) == []
    assert list(dataset.names("a/zarr.json/node_type")) == []
    assert list(dataset.keys("a/zarr.json/")) == []
    assert list(dataset.keys("a/zarr.json")) == ["a/zarr.json"]
    dataset.delete_below("a/zarr.json")
    assert list(dataset.keys()) == ["a/zarr.json"]


def test_reserved_names_are_no_directories() -> None:
    dataset = Dataset(MappingCAStore(), limits=SMALL)
    contents = {"a/zarr.json": b'{"node_type":"array"}'} | {f"a/{name}": b"v" for name in [*range(9), *"bdefghi"]}
    for key, data in contents.items():
        dataset.write(key, data)
    dataset.freeze()
    for name in ("__ipld_chunks__", "__ipld_names__", "__ipld_value__"):
        assert list(dataset.names(f"a/{name}")) == []
        assert list(dataset.keys(f"a/{name}/")) == []
        dataset.delete_below(f"a/{name}")
    assert sorted(dataset.keys()) == sorted(contents)


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("form", ["c/{}", "{}", "n{}", "c.{}"])
@pytest.mark.parametrize("document_first", [False, True])
def test_a_directory_without_keys_is_not_listed(form: str, *, frozen: bool, document_first: bool) -> None:
    """Also where its keys were in an index: it is not listed any more, before the next freeze removes it."""
    dataset = Dataset(MappingCAStore(), limits=SMALL)
    keys = ["g/a/zarr.json"] + ["g/a/" + form.format(number) for number in range(9)]
    for key in keys:
        dataset.write(key, b'{"node_type":"array"}')
    if frozen:
        dataset.freeze()
    left = set(keys)
    for key in keys if document_first else reversed(keys):
        assert dataset.delete(key)
        left.remove(key)
        assert set(dataset.keys()) == left
        assert list(dataset.names("g")) == (["a"] if left else [])
        assert list(dataset.names("")) == (["g"] if left else [])
    assert dataset.freeze() == Dataset(MappingCAStore()).freeze()
