"""LRU: what is dropped, when, and that its count of bytes is that of its entries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from ipld_car.lru import LRU

KEYS = st.integers(0, 5)


@given(
    st.integers(0, 20),
    st.lists(st.one_of(st.tuples(KEYS, st.integers(0, 25)), st.tuples(KEYS, st.sampled_from(["get", "pop", "peek"])))),
)
def test_any_use(limit: int, steps: list[tuple[int, int | str]]) -> None:
    """Against a list in the order of use, which drops its first entries while it is over the limit."""
    cache: LRU[int, int] = LRU(limit)
    model: list[tuple[int, int]] = []
    for key, step in steps:
        found = next((entry for entry in model if entry[0] == key), None)
        expected = None if found is None else found[1]
        if isinstance(step, int):
            if found is not None:
                model.remove(found)
            model.append((key, step))
            dropped = []
            while sum(size for _, size in model) > limit and len(model) > 1:
                dropped.append(model.pop(0))
            assert cache.put(key, step, step) == dropped
        elif step == "peek":
            assert cache.peek(key) == expected
        elif step == "get":
            assert cache.get(key) == expected
            if found is not None:
                model.remove(found)
                model.append(found)
        else:
            assert cache.pop(key) == expected
            if found is not None:
                model.remove(found)
        assert list(cache) == [entry[0] for entry in model]
        assert cache.size == sum(size for _, size in model)
        assert len(cache) == len(model)
        assert (key in cache) == any(entry[0] == key for entry in model)
    cache.clear()
    assert (len(cache), cache.size) == (0, 0)
