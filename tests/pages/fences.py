"""The code fences of a Markdown page, in order."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]

WALKTHROUGHS: Final = ("cid", "car", "bucket", "cluster")
"""The pages of docs/start that are followed word for word: their servers are started first."""

_FENCE: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_REASON: Final = re.compile(r"<!-- not run: (.+) -->\s*\Z")


@dataclass(frozen=True)
class Fence:
    """A block of code on a page.

    :param line: the line of the page on which its text begins
    :param not_run: why it is not run, from a comment ``<!-- not run: ... -->`` before it; empty if there is none
    """

    path: Path
    line: int
    language: str
    text: str
    not_run: str

    @property
    def is_session(self) -> bool:
        """Whether it is a session of Python, as doctest runs them."""
        return ">>> " in self.text

    def __str__(self) -> str:
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def fences_of(path: Path) -> list[Fence]:
    """Return the fences of a page."""
    page = path.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(page):
        reason = _REASON.search(page, 0, match.start())
        line = page.count("\n", 0, match.start(2)) + 1
        found.append(Fence(path, line, match[1], match[2], reason[1] if reason else ""))
    return found


def pages() -> list[Path]:
    """Return all pages that people read: the documentation and the READMEs."""
    readmes = [ROOT / "README.md", *sorted(ROOT.glob("packages/*/README.md"))]
    return readmes + sorted((ROOT / "docs").rglob("*.md"))
