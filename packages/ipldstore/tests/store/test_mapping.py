"""The dict verbs of a store, and its full mapping: what a user of the original project, or of a dict, expects."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest
from ipld_castore import ContentAddressableStore
from ipldstore import IPLDStore, StoreMapping

from ..support.store_samples import contents, written

SOME = {".zgroup": b'{"zarr_format":2}', "a/.zarray": b'{"shape":[2]}', "a/0": b"zero", "a/1": b"one", "a/b/c/0": b""}


def test_the_verbs_of_a_store(castore: ContentAddressableStore) -> None:
    store = IPLDStore(castore)
    assert len(store) == 0
    assert list(store) == []
    for number, (key, data) in enumerate(SOME.items()):
        assert key not in store
        store[key] = data
        assert key in store
        assert store[key] == data
        assert len(store) == number + 1
    assert sorted(store) == sorted(SOME)
    for number, key in enumerate(SOME):
        del store[key]
        assert key not in store
        assert len(store) == len(SOME) - number - 1
        with pytest.raises(KeyError, match=key):
            store[key]
        with pytest.raises(KeyError, match=key):
            del store[key]


def test_the_mapping_is_a_view(castore: ContentAddressableStore) -> None:
    store = written(SOME, castore)
    mapping = store.mapping
    assert isinstance(mapping, MutableMapping)
    assert isinstance(mapping, StoreMapping)
    assert dict(mapping) == SOME
    assert mapping == SOME
    store["a/2"] = b"two"
    assert mapping["a/2"] == b"two"
    del mapping["a/2"]
    assert "a/2" not in store
    mapping["a/3"] = b"three"
    assert store["a/3"] == b"three"
    root = store.freeze()
    store.set_root(root)
    assert mapping["a/3"] == b"three"


def test_all_verbs_of_a_mutable_mapping(castore: ContentAddressableStore) -> None:
    mapping = IPLDStore(castore).mapping
    mapping.update(SOME)
    assert mapping.get("a/0") == b"zero"
    assert mapping.get("a/9") is None
    assert mapping.get("a/9", b"default") == b"default"
    assert mapping.setdefault("a/0", b"other") == b"zero"
    assert mapping.setdefault("a/9", b"nine") == b"nine"
    assert mapping.pop("a/9") == b"nine"
    assert mapping.pop("a/9", None) is None
    with pytest.raises(KeyError, match="a/9"):
        mapping.pop("a/9")
    assert sorted(mapping.keys()) == sorted(SOME)
    assert sorted(mapping.values()) == sorted(SOME.values())
    assert dict(mapping.items()) == SOME
    key, data = mapping.popitem()
    assert SOME[key] == data
    assert len(mapping) == len(SOME) - 1
    mapping.clear()
    assert dict(mapping) == {}
    assert "a/0" not in mapping
    assert isinstance(repr(mapping), str)


@pytest.mark.parametrize("value", [b"bytes", bytearray(b"bytes"), memoryview(b"bytes"), memoryview(b"b.y.t.e.s.")[::2]])
def test_anything_with_bytes_is_a_value(value: Any) -> None:
    store = IPLDStore()
    store["a"] = value
    assert type(store["a"]) is bytes
    assert store["a"] == bytes(value)


def test_the_caller_keeps_its_buffer() -> None:
    store = IPLDStore()
    for size in (5, 3 << 20):
        buffer = bytearray(size)
        store["a"] = memoryview(buffer)  # type: ignore[assignment]  # as users will
        buffer[0] = 1
        assert store["a"] == bytes(size)


@pytest.mark.parametrize("value", [5, "text", None, 2.5, [1, 2], pytest.param(object(), id="object")], ids=repr)
def test_anything_else_is_no_value(value: Any) -> None:
    """A number or a list is a TypeError: ``bytes(5)`` would be five zeros, ``bytes([1, 2])`` two bytes."""
    store = written(SOME)
    with pytest.raises(TypeError):
        store["a/0"] = value
    with pytest.raises(TypeError):
        store.mapping["a/new"] = value
    assert contents(store) == SOME


REFUSED = {
    "empty": "",
    "an empty part": "a//b",
    "a slash first": "/a",
    "a slash last": "a/",
    "only a slash": "/",
    "a dot": "a/./b",
    "two dots": "a/../b",
    "two dots alone": "..",
    "NUL": "a\0b",
    "a reserved name": "a/__ipld_chunks__/0",
    "a reserved name to come": "__ipld_later__",
    "a long part": "a" * 256,
    "a part that is long in UTF-8": "ä" * 128,
    "many parts": "/".join("a" * 65),
    "a document above": ".zarray/0",
    "another document above": "a/zarr.json/c/0",
    "a lone surrogate": "a\ud800",
}
"""Keys that the format refuses (section 1)."""

ALLOWED = {
    "a name like a reserved one": "__ipld",
    "dots": "...",
    "a long part": "a" * 255,
    "long in UTF-8": "ä" * 127,
    "many parts": "/".join("a" * 64),
    "a document's name with another case": ".ZARRAY/0",
    "a control character": "a\nb",
    "not normalized": "e\u0301",
    "normalized": "\u00e9",
    "no text": " ",
    "a backslash": "a\\b",
    "a URL": "a:b?c#d%00",
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_refused_key_is_a_value_error_to_set_and_absent_to_read(what: str) -> None:
    key = REFUSED[what]
    store = written(SOME)
    root = store.freeze()
    for data in (b"bytes", b"{}"):
        with pytest.raises(ValueError, match="expected"):
            store[key] = data
        with pytest.raises(ValueError, match="expected"):
            store.mapping.update({key: data})
        with pytest.raises(ValueError, match="expected"):
            store.mapping.setdefault(key, data)
    assert key not in store
    assert key not in store.mapping
    assert store.mapping.get(key) is None
    with pytest.raises(KeyError):
        store[key]
    with pytest.raises(KeyError):
        del store[key]
    assert store.mapping.pop(key, None) is None
    assert store.root_cid == root  # refused before it changes anything


@pytest.mark.parametrize("what", ALLOWED)
def test_a_key_at_the_edge(castore: ContentAddressableStore, what: str) -> None:
    key = ALLOWED[what]
    store = written({key: b"bytes"}, castore)
    again = IPLDStore(castore, root=store.freeze())
    assert contents(again) == {key: b"bytes"}
    del again[key]
    assert len(again) == 0


@pytest.mark.parametrize("key", [5, None, b"a/0", ("a",), 2.5], ids=repr)
def test_what_is_no_text_is_in_no_store(key: Any) -> None:
    store = written(SOME)
    assert key not in store
    assert key not in store.mapping


def test_iterating_shows_the_keys_as_they_were(castore: ContentAddressableStore) -> None:
    """Whatever happens meanwhile, no key comes twice, and none that was there all the time is left out."""
    store = IPLDStore(castore)
    keys = {f"g{number % 7}/a/{number}" for number in range(300)} | {"g0/a/.zarray"}
    for key in keys:
        store[key] = key.encode()
    for frozen in (False, True):
        if frozen:
            store.freeze()
        iterator = iter(store)
        seen = [next(iterator) for _ in range(10)]
        for number in range(300, 600):
            store[f"g{number % 7}/a/{number}"] = b"new"
        store.freeze()
        for number in range(300, 600):
            del store[f"g{number % 7}/a/{number}"]
        seen += iterator
        assert len(seen) == len(set(seen))
        assert keys <= set(seen)


def test_a_key_that_is_both_value_and_directory(castore: ContentAddressableStore) -> None:
    store = written({"a": b"value", "a/b": b"below", "a/b/c": b"deeper"}, castore)
    again = IPLDStore(castore, root=store.freeze())
    assert contents(again) == {"a": b"value", "a/b": b"below", "a/b/c": b"deeper"}
    del again["a/b"]
    assert contents(again) == {"a": b"value", "a/b/c": b"deeper"}
    del again["a/b/c"]
    assert again.freeze() == written({"a": b"value"}).freeze()
