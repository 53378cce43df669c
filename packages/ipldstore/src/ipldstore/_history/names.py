"""Names of branches and tags (history.md, section 3)."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from ipld_car import cids

from ipldstore._format import keys

from .fields import surrogate_in

_REFUSED: Final = re.compile(r"[\x00-\x1f\x7f~@]")


def name_problem(name: str) -> str | None:
    """Return what keeps a text from being a name; None if nothing does.

    >>> name_problem("main"), name_problem("v1~2")
    (None, "the character '~'")
    """
    if "/" in name:
        return "a slash"
    found = _REFUSED.search(name)
    if found is not None:
        return f"the character {found[0]!r}"
    problem = keys.part_problem(name)
    if problem is not None:
        return problem
    if surrogate_in(name) is not None:
        return "a lone surrogate"
    return "the text of a CID" if cids.is_cid(name) else None


def normalize_name(name: str) -> str:
    """Return a name as writers store it, in NFC.

    :raises ValueError: if the format does not allow the name
    :raises TypeError: if it is no str
    """
    if not isinstance(name, str):
        raise TypeError(f"expected the name of a branch or tag, found {name!r:.200}")
    normal = unicodedata.normalize("NFC", name)
    problem = name_problem(normal)
    if problem is not None:
        raise ValueError(f"expected the name of a branch or tag, found {problem}: {name[:200]!r}")
    return normal
