"""What the command ``ipld-car`` does, as functions: verify, create, extract, list, diff, filter, merge, split and more.

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

from .archive import Source
from .check_blocks import Verdict
from .create import Added, Created, NamedFile, create
from .diff import Change, Unknown, diff, diff_paths
from .errors import EntryNotFoundError, OperationError, Progress, RefusedError
from .extract import Extracted, ExtractedEntry, extract
from .indexes import convert, create_index, detach_index, read_index
from .inspect import (
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
from .rewrite import Dag, SplitPart, concat, filter_blocks, get_dag, merge, put_block, split
from .verify import Report, verify

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
    "split",
    "verify",
]

# Tracebacks, representations and pickles name a class where users import it from.
for _name in __all__:
    _exported = globals()[_name]
    if isinstance(_exported, type):
        _exported.__module__ = __name__
