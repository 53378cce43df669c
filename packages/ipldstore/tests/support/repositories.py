"""Repositories for tests: on a dict, in a file and in a folder, and short ways to commit to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from ipld_car import cids
from ipldstore import Repository
from ipldstore._exchange.committing import put_node
from ipldstore._history.state import encode_state

START = datetime(2024, 1, 1, tzinfo=UTC)
"""The time of the first commit that a test makes."""

KINDS = ("dict", "file", "folder")


def place_of(kind: str, folder: Path) -> Any:
    """Return what a repository of a kind is opened by."""
    return {"dict": {}, "file": str(folder / "air.car"), "folder": str(folder / "blocks")}[kind]


def open_again(repo: Repository, what: Any) -> Repository:
    """Close a repository and open it anew."""
    repo.close()
    return Repository.open(what, **({} if isinstance(what, dict) else {"fsync": False}))


def make(what: Any, **options: Any) -> Repository:
    return Repository.create(what, **({} if isinstance(what, dict) else {"fsync": False}) | options)


def commit(repo: Repository, contents: Mapping[str, bytes | None], branch: str | None = None, **options: Any) -> str:
    """Commit changes of keys, None for a deletion; return the text of the CID."""
    session = repo.writable_session(branch)
    for key, value in contents.items():
        if value is None:
            del session.store[key]
        else:
            session.store[key] = value
    return text(session.commit(options.pop("message", f"set {', '.join(contents)}"), **options))


def text(cid: Any) -> str:
    return cids.to_text(cids.to_bytes(cid))


def contents_of(repo: Repository, ref: str | None = None) -> dict[str, bytes]:
    store = repo.readonly_session(commit=repo.lookup(ref).cid).store
    return {key: store[key] for key in store}


def minutes() -> Callable[[], datetime]:
    """Return a clock that goes on by a minute each time it is asked."""
    count = iter(range(1, 10**9))
    return lambda: START + timedelta(minutes=next(count))


def state_over(repo: Repository, tip: bytes) -> Repository:
    """Return a repository, opened to read, whose main branch is at a block."""
    state = repo._state._replace(branches={"main": tip})
    cid = put_node(repo.castore, encode_state(state, lambda names: put_node(repo.castore, names)))
    return Repository.open(cids.from_validated(cid), castore=repo.castore)
