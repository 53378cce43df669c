"""Fixtures of a real IPFS node, for the tests of this package and those across packages."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .kubo_node import Node, find_binary
from .peer_binary import NoBinaryError


@pytest.fixture(scope="session")
def kubo_binary() -> str:
    try:
        return find_binary()
    except NoBinaryError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def kubo(kubo_binary: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that runs, without any block."""
    node = Node(kubo_binary, tmp_path_factory.mktemp("kubo"))
    node.start()
    try:
        node.empty()
        yield node
    finally:
        node.kill()  # in good order it takes a second
