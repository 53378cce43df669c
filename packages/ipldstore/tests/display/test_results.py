"""What notebooks show of repositories, commits, differences and verifications: whole, escaped, without a script."""

from __future__ import annotations

import pytest
from ipld_castore import MappingCAStore
from ipldstore import IPLDStore, Repository, diff

from ..support.repositories import commit

HOSTILE = "<script>alert(1)</script>"


def shown(what: object) -> str:
    """Return the HTML of a result, which has no script and no tag of what is hostile."""
    html: str = what._repr_html_()  # type: ignore[attr-defined]  # as notebooks call it
    assert "<script" not in html
    assert html.startswith("<div class='ipld'>")
    assert html.count("<details") == html.count("</details>")
    return html


def test_a_repository_shows_its_names() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"})
    repo.create_tag(HOSTILE.replace("/", "|"))
    html = shown(repo)
    assert "main" in html
    assert "&lt;script&gt;" in html
    assert str(repo.cid) in html


def test_a_commit_shows_what_it_has() -> None:
    repo = Repository.create({})
    commit(repo, {"a": b"1"}, message=HOSTILE, meta={HOSTILE: HOSTILE})
    html = shown(repo.lookup())
    assert html.count("&lt;script&gt;") == 3
    assert str(repo.lookup().data) in html


def test_a_difference_shows_nodes_and_keys() -> None:
    old, new = IPLDStore(), IPLDStore()
    new[HOSTILE.replace("/", "|")] = b"text"
    html = shown(diff(old, new))
    assert "&lt;script&gt;" in html
    assert "Other keys" in html


@pytest.mark.parametrize("key", [HOSTILE, "a/c/0"])
def test_a_verification_shows_what_is_lost(key: str) -> None:
    blocks: dict[str, bytes] = {}
    store = IPLDStore(MappingCAStore(blocks))
    store[key] = b"chunk"
    root = store.freeze()
    store.castore.delete_block(store.castore.put(b"chunk"))  # type: ignore[attr-defined]  # in memory
    html = shown(IPLDStore(store.castore, root=root).verify())
    assert "missing" in html
    assert "<b>" not in html
