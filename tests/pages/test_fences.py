"""No example of the documentation can become wrong without a test that fails."""

import fnmatch
from pathlib import Path

import pytest

from .fences import ROOT, WALKTHROUGHS, Fence, fences_of, pages

FENCES = [fence for path in pages() for fence in fences_of(path)]
PYTHON = [fence for fence in FENCES if fence.language in ("python", "pycon", "py", "")]


def is_collected(path: Path, globs: list[str]) -> bool:
    return any(fnmatch.fnmatch(str(path), f"*/{pattern}") for pattern in globs)


@pytest.mark.parametrize("fence", PYTHON, ids=str)
def test_each_fence_of_python_is_run(fence: Fence, request: pytest.FixtureRequest) -> None:
    """As a doctest of its page, or by following the page; or a comment before it gives a reason why not."""
    if fence.not_run:
        assert not fence.is_session, "a comment says that this session is not run, but doctest runs it"
        return
    if fence.language == "":
        assert not fence.is_session, "a session needs ```python before it, as it is shown"
        return
    assert fence.is_session, "expected a session (>>>), or <!-- not run: why --> before it"
    followed = [ROOT / "docs" / "start" / f"{name}.md" for name in WALKTHROUGHS]
    assert fence.path in followed or is_collected(fence.path, request.config.getoption("doctestglob"))


def test_there_are_pages_to_look_at() -> None:
    assert len(PYTHON) > 40
    assert {path.name for path in pages()} >= {"README.md", "index.md", *(f"{name}.md" for name in WALKTHROUGHS)}


def test_every_page_is_reached_from_the_front_page() -> None:
    """Sphinx warns of a page in no list of contents; this says so without Sphinx."""
    docs = ROOT / "docs"
    index = (docs / "index.md").read_text("utf-8")
    names = [path.relative_to(docs).with_suffix("").as_posix() for path in sorted(docs.rglob("*.md"))]
    assert [name for name in names if name != "index" and f"\n{name}\n" not in index] == []
