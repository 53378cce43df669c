"""Commits and states as history.md has them: the vectors, byte for byte, and all that they say is refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ipld_car import cids, hashes
from ipldstore._history.commit import CommitNode, decode_commit, encode_commit
from ipldstore._history.jumps import jump_height
from ipldstore._history.state import StateNode, decode_state, encode_state
from ipldstore.errors import NodeError


@pytest.fixture(scope="session")
def history(fixtures: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((fixtures / "history-vectors.json").read_text("utf-8"))
    return loaded


def cid_of(block: bytes) -> str:
    return cids.to_text(cids.make(cids.DAG_CBOR, hashes.digest_of(cids.SHA2_256, block)))


def commit_of(node: dict[str, Any]) -> CommitNode:
    return CommitNode(
        cids.to_bytes(node["data"]),
        tuple(map(cids.to_bytes, node["parents"])),
        node["height"],
        cids.to_bytes(node["jump"]) if "jump" in node else None,
        node["time"],
        node["author"],
        node["message"],
        node.get("meta", {}),
    )


def test_commits(history: dict[str, Any]) -> None:
    for vector in history["commits"]:
        commit = commit_of(vector["node"])
        block = encode_commit(commit)
        assert (cid_of(block), len(block)) == (vector["cid"], vector["size"])
        assert decode_commit(block) == commit


def test_the_first_commit(history: dict[str, Any]) -> None:
    first = CommitNode(cids.to_bytes(history["empty_root"]), (), 0, None, 0, "", "", {})
    assert cid_of(encode_commit(first)) == history["first_commit"]


def names_of(node: dict[str, Any], field: str, linked: dict[str, dict[str, str]]) -> dict[str, bytes]:
    names = node[field] if isinstance(node[field], dict) else linked[node[field]]
    return {name: cids.to_bytes(link) for name, link in names.items()}


def test_states(history: dict[str, Any]) -> None:
    linked = {vector["cid"]: vector["node"] for vector in history["names"]}
    blocks: dict[bytes, bytes] = {}

    def put(block: bytes) -> bytes:
        cid = cids.make(cids.DAG_CBOR, hashes.digest_of(cids.SHA2_256, block))
        blocks[cid] = block
        return cid

    for vector in history["states"]:
        node = vector["node"]
        state = StateNode(
            names_of(node, "branches", linked),
            names_of(node, "tags", linked),
            node["default"],
            bytes.fromhex(node["previous"]) if "previous" in node else None,
            node["operation"],
            node["time"],
            node["author"],
        )
        block = encode_state(state, put)
        assert (cid_of(block), len(block)) == (vector["cid"], vector["size"])
        assert decode_state(block, blocks.__getitem__) == state
    assert {cids.to_text(cid) for cid in blocks} == set(linked)


def test_jumps(history: dict[str, Any]) -> None:
    assert [jump_height(height) for height in range(len(history["jumps"]))] == history["jumps"]


def no_block(cid: bytes) -> bytes:
    raise AssertionError(f"nothing was to be read, and {cids.to_text(cid)} was")


def test_what_is_refused(history: dict[str, Any]) -> None:
    assert history["refused"]
    for vector in history["refused"]:
        block = bytes.fromhex(vector["hex"])
        decode = partial(decode_state, get=no_block) if b"__ipld_repo__" in block else decode_commit
        with pytest.raises(NodeError):
            decode(block)
