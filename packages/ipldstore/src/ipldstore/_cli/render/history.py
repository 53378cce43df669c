"""What the commands about versions print."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ipld_car.terminal import printable

from ipldstore._exchange.operations import Names, Operation
from ipldstore._merge.diff import Diff
from ipldstore._merge.node_diff import ChunkRange, NodeDiff
from ipldstore._revisions.record import Commit

from .plain import plain


def diff_json(found: Diff) -> Iterator[dict[str, Any]]:
    """Yield a line for each array, group and other key that differs."""
    yield from map(_node, found.nodes)
    yield from ({"key": each.key, "change": each.change} for each in found.keys)


def _node(node: NodeDiff) -> dict[str, Any]:
    chunks = node.chunks
    return {
        "path": node.path,
        "kind": node.kind,
        "change": node.change,
        "shape": node.shape,
        "metadata": plain(node.metadata),
        "attributes_added": plain(node.attributes_added),
        "attributes_removed": plain(node.attributes_removed),
        "attributes_changed": plain(node.attributes_changed),
        "consolidated": node.consolidated,
        "chunks": {
            "count": chunks.count,
            **{name: list(map(_range, getattr(chunks, name))) for name in ("added", "deleted", "changed")},
        },
    }


def _range(found: ChunkRange) -> dict[str, Any]:
    return {"start": found.start, "stop": found.stop}


def commit_text(commit: Commit) -> str:
    """Return a commit as git shows one."""
    lines = [f"commit {commit.cid}"]
    if len(commit.parents) > 1:
        lines.append(f"merge  {' '.join(map(str, commit.parents))}")
    if commit.author:
        lines.append(f"author {printable(commit.author)}")
    lines += [f"date   {commit.time.isoformat()}", f"data   {commit.data}", ""]
    lines += [f"    {printable(line)}" for line in commit.message.splitlines()]
    return "\n".join([*lines, ""] if commit.message else lines)


def commit_json(commit: Commit) -> dict[str, Any]:
    """Return a commit for programs."""
    return {
        "commit": str(commit.cid),
        "data": str(commit.data),
        "parents": list(map(str, commit.parents)),
        "height": commit.height,
        "time": commit.time.isoformat(),
        "author": commit.author,
        "message": commit.message,
        "meta": plain(commit.meta),
    }


def operation_text(operation: Operation) -> str:
    """Return an operation as a line."""
    return f"{operation.state} {operation.time.isoformat()} {printable(operation.operation or 'create')}"


def operation_json(operation: Operation) -> dict[str, Any]:
    """Return an operation for programs, with all names after it."""
    return {
        "state": str(operation.state),
        "time": operation.time.isoformat(),
        "author": operation.author,
        "operation": operation.operation,
        **_names(operation.after),
    }


def _names(names: Names) -> dict[str, Any]:
    return {
        "branches": {name: str(cid) for name, cid in names.branches.items()},
        "tags": {name: str(cid) for name, cid in names.tags.items()},
        "default": names.default,
    }
