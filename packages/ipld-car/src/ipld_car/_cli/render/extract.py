"""Print the results of ``ipld-car extract``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ipld_car.ops import Extracted, ExtractedEntry
from ipld_car.terminal import Line, printable


def render_entry(entry: ExtractedEntry, *, as_json: bool) -> Line:
    """Return the line on a file or link that was written, or left out."""
    if as_json:
        found: dict[str, Any] = {"path": entry.path, "cid": str(entry.cid)}
        if entry.missing:
            return {**found, "missing": True}
        if entry.unsafe_target is not None:
            return {**found, "unsafe_target": entry.unsafe_target}
        return {**found, "size": entry.size}
    if entry.missing:
        return f"data for entry not found: {printable(entry.path)} (skipping...)"
    if entry.unsafe_target is not None:
        return (
            f"link leads out of the folder: {printable(entry.path)} -> {printable(entry.unsafe_target)} (skipping...)"
        )
    return printable(entry.path)


def render_result(done: Extracted) -> Iterator[Line]:
    """Yield the lines on what was done."""
    if done.missing_shards:
        yield f"data for entry not found for {done.missing_shards} unknown sharded entries (skipped...)"
    skipped = done.missing + done.unsafe_links
    yield f"extracted {done.files} file(s){f', skipped {skipped}' if skipped else ''}"
