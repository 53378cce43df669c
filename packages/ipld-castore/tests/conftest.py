"""What the tests of this package share: the fixtures of others, and a real IPFS node."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("ipld_castore.testing")

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # for the helpers; importlib mode adds nothing itself

from ipld_castore import _attempts  # noqa: E402  # after the path
from ipld_castore.testing import BlockServer  # noqa: E402  # registered above
from kubo_fixtures import kubo, kubo_binary, pytest_configure  # noqa: E402  # they are found there

__all__ = ["kubo", "kubo_binary", "pytest_configure"]


@pytest.fixture(scope="session")
def archives() -> Path:
    """The folder of archives that other projects made; not part of this one."""
    folder = Path(os.environ.get("IPLD_FIXTURES") or HERE.parents[3] / "shared" / "fixtures")
    if not folder.is_dir():
        message = f"no archives of other projects at {folder} (IPLD_FIXTURES names another folder)"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    return folder


@pytest.fixture
def server() -> Iterator[BlockServer]:
    """A server of blocks, with none yet, which misbehaves when it is told to."""
    with BlockServer() as server:
        yield server


@pytest.fixture
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before another attempt, where no gateway asks for one."""
    monkeypatch.setattr(_attempts, "_FIRST_PAUSE", 0.01)
