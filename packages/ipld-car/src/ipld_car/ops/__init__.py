"""The operations of the command ``ipld-car`` as functions: verify, create, extract, list, diff, merge, split and more.

They use all rooms but ``_cli``, and print nothing; the command, and users of Python, call them.

An archive to read is a path, bytes, or a stream; one to write is a path or a stream. A file that is written gets its
name when it is whole. What can take long takes a ``progress`` function, see :data:`Progress`. CIDs are given as
:class:`multiformats.CID`, text or bytes; results have ``cid``, a :class:`multiformats.CID`, and where there are many,
``cid_bytes``. Every error about an archive is a :class:`~ipld_car.CarError`: an :class:`OperationError` if the archive
does not have what was asked for, a :class:`RefusedError` if it cannot be done whatever is in the archive.

>>> import tempfile
>>> from ipld_car import ops
>>> path = tempfile.mkdtemp() + "/hello.car"
>>> root = ops.create(path, [ops.NamedFile("hello.txt", b"hello world")]).root
>>> ops.verify(path).is_good()
True
>>> [entry.path for entry in ops.list_paths(path)]
['hello.txt']
>>> ops.get_dag(path, tempfile.mkdtemp() + "/again.car").root == root
True
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .archive import Source
    from .check_blocks import Verdict
    from .comparison import Change, Unknown, diff, diff_paths
    from .creation import Added, Created, NamedFile, create
    from .errors import EntryNotFoundError, OperationError, Progress, RefusedError
    from .extraction import Extracted, ExtractedEntry, extract
    from .indexes import convert, create_index, detach_index, read_index
    from .inspection import (
        BlockEntry,
        Inspection,
        Sizes,
        find_implicit_roots,
        get_block,
        get_roots,
        inspect,
        list_blocks,
    )
    from .output import Target, Written
    from .paths import PathEntry, cat, list_paths
    from .rewriting.dag import Dag, get_dag
    from .rewriting.filtering import filter_blocks
    from .rewriting.filtering import filter_blocks as filter  # noqa: A004  # the command's name, as of all others
    from .rewriting.joining import concat, merge
    from .rewriting.putting import put_block
    from .rewriting.repairing import Repaired, repair
    from .rewriting.splitting import SplitPart, split
    from .verification import Report, verify

__all__ = [
    "Added",
    "BlockEntry",
    "Change",
    "Created",
    "Dag",
    "EntryNotFoundError",
    "Extracted",
    "ExtractedEntry",
    "Inspection",
    "NamedFile",
    "OperationError",
    "PathEntry",
    "Progress",
    "RefusedError",
    "Repaired",
    "Report",
    "Sizes",
    "Source",
    "SplitPart",
    "Target",
    "Unknown",
    "Verdict",
    "Written",
    "cat",
    "concat",
    "convert",
    "create",
    "create_index",
    "detach_index",
    "diff",
    "diff_paths",
    "extract",
    "filter",
    "filter_blocks",
    "find_implicit_roots",
    "get_block",
    "get_dag",
    "get_roots",
    "inspect",
    "list_blocks",
    "list_paths",
    "merge",
    "put_block",
    "read_index",
    "repair",
    "split",
    "verify",
]

_NAMES: Final = {
    "archive": ("Source",),
    "check_blocks": ("Verdict",),
    "creation": ("Added", "Created", "NamedFile", "create"),
    "comparison": ("Change", "Unknown", "diff", "diff_paths"),
    "errors": ("EntryNotFoundError", "OperationError", "Progress", "RefusedError"),
    "extraction": ("Extracted", "ExtractedEntry", "extract"),
    "indexes": ("convert", "create_index", "detach_index", "read_index"),
    "inspection": (
        "BlockEntry",
        "Inspection",
        "Sizes",
        "find_implicit_roots",
        "get_block",
        "get_roots",
        "inspect",
        "list_blocks",
    ),
    "output": ("Target", "Written"),
    "paths": ("PathEntry", "cat", "list_paths"),
    "rewriting.dag": ("Dag", "get_dag"),
    "rewriting.filtering": ("filter", "filter_blocks"),
    "rewriting.joining": ("concat", "merge"),
    "rewriting.putting": ("put_block",),
    "rewriting.repairing": ("Repaired", "repair"),
    "rewriting.splitting": ("SplitPart", "split"),
    "verification": ("Report", "verify"),
}
"""The modules of this room, and the names that each gives to users."""
_IN_THEIR_MODULES: Final = {"filter": "filter_blocks"}
"""The names of those that would hide a builtin there."""
_HOMES: Final = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a name when it is first asked for: a command needs one of these modules, and starts sooner so."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{home}", __name__), _IN_THEIR_MODULES.get(name, name))
    # Tracebacks, representations and pickles name a class or function where users import it from.
    for module, names in _NAMES.items():
        for each in names if (imported := sys.modules.get(f"{__name__}.{module}")) else ():
            if getattr(exported := getattr(imported, each, None), "__module__", None) == f"{__name__}.{module}":
                exported.__module__ = __name__
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
