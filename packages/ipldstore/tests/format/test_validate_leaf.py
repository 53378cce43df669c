"""A leaf of chunks that is checked at once gives the same as one that is checked key by key."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st
from ipld_car import cids
from ipldstore import IPLDStoreError
from ipldstore._format import index_tree, validate
from ipldstore._format import keys as _keys
from ipldstore.errors import NodeError

from ..support import reference

pytestmark = pytest.mark.smoke

V, IN_UNIXFS, NODE = (bytes(reference.cid(codec, b"v")) for codec in (0x55, 0x70, 0x71))
OTHERS = [IN_UNIXFS, NODE, cids.make(cids.RAW, b"v" * 64, 0x13), None, 1, "0"]
ORDINARY = ["0", "1", "22", "123456789012345678"]
ODD = ["", "c", "c.0", "0.1", "0.1.2", "0/1", "c/0", "01", "-1", "0\n1", "1\n", "٣", "x", "1234567890123456789"]
names = st.sampled_from([*ORDINARY * 4, "c", *ODD, "__ipld_value__", ".zarray"])
links = st.sampled_from([V] * 24 + OTHERS)
leaves = st.dictionaries(
    names, st.recursive(links, lambda below: st.dictionaries(names, below, max_size=3), max_leaves=6), max_size=4
)


@given(leaves)
@example({"0": V, "1": {}})
@example({"0/1": V, "2": {"3": V}})
@example({"0\n1": V})
@example({"0": V, "1\n2": V, "3": {"4\n5": V}})
@example({"c": {"1": {"__ipld_value__": V, "2": V}}})
@example({"/".join(["0"] * 128): V})
@example({"9" * 18 + ("." + "9" * 18) * 13: V})
@example({"0": V, "1": {"2/3/4": V}})
@example({"0": V, "": V})
@example({})
def test_both_checks_agree(top: dict[str, Any]) -> None:
    found = validate._check_leaf_at_once(top)
    event("at once" if found else "key by key")
    try:
        expected = validate.check_chunk_leaf(top)
        thorough = validate._check_leaf_by_key(top)
    except IPLDStoreError:
        assert found is None
        return
    assert expected == thorough
    assert found is None or found == thorough


@pytest.mark.parametrize(
    ("top", "links", "depth"),
    [
        ({"0": V, "12": V}, {"0", "12"}, 0),
        ({"0": V, "1": {"2": V}}, {"0", "1/2"}, 1),
        ({"c": {"1": {"__ipld_value__": V, "2": V}, "3": {"4": {"5": V}}}}, {"c/1", "c/1/2", "c/3/4/5"}, 3),
        ({"10": {"__ipld_value__": V, "2": V}}, {"10", "10/2"}, 1),
    ],
)
def test_keys_and_depth_of_a_leaf(top: dict[str, Any], links: set[str], depth: int) -> None:
    assert validate._check_leaf_by_key(top) == (dict.fromkeys(links, V), depth)
    assert validate.check_chunk_leaf(top) == (dict.fromkeys(links, V), depth)
    assert validate.check_name_leaf({"a": V, "b": V}) == ({"a": V, "b": V}, 0)


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (cids.make(0x72, bytes(32)), "a link with codec 0x72"),
        ({}, "a map"),
        ([], "a list"),
        (None, "null"),
        ("x", "str"),
    ],
)
def test_what_was_found_is_told(entry: Any, message: str) -> None:
    with pytest.raises(NodeError, match=f"found {message}$"):
        validate.check_chunk_leaf({"0": entry} if entry != {} else {"0": {"__ipld_value__": {}}})
    with pytest.raises(NodeError, match=f"found {message}$"):
        validate.check_name_leaf({"a": entry})
    if not isinstance(entry, dict):
        for check in (validate.check_chunk_leaf, validate.check_name_leaf):
            with pytest.raises(NodeError, match=f"a map; found {message}$"):
                check(entry)


@pytest.mark.parametrize("link", [V, IN_UNIXFS], ids=["raw", "dag-pb"])
@pytest.mark.parametrize("form", ["{}", "c/{}/{}", "{}/{}/{}", "c.{}.{}", "{}.{}"])
def test_ordinary_leaves_are_checked_at_once(form: str, link: bytes) -> None:
    """Key by key they take several times as long."""
    keys = [form.format(number, number % 3, number % 2) for number in range(40)]
    links = dict.fromkeys(keys, link)
    assert validate._check_leaf_at_once(index_tree.nested_map(links)) == (links, form.count("/"))


@pytest.mark.parametrize("key", [*ORDINARY, *ODD, "c/0/1", "c.0.1", "0/1.2", "0.1/2", "c/0.1", "c.0/1", "9" * 256])
def test_one_wrong_key_among_many_chunk_keys(key: str) -> None:
    many = [f"{number}" for number in range(30, 50)]
    for keys in ([key, *many], [*many, key], [key]):
        expected = all(_keys.is_chunk_key(each) for each in keys)
        assert _keys.are_chunk_keys(keys, "".join(keys).count("/")) == expected


def test_the_form_of_chunk_keys_does_not_backtrack() -> None:
    """If the form had two ways to match a number, this would take exponential time."""
    keys = [*map(str, range(2048)), "x"]
    assert not _keys.are_chunk_keys(keys, 0)
