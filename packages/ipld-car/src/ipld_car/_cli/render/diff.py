"""Print the results of ``ipld-car diff``."""

from __future__ import annotations

from ipld_car.ops import Change, Unknown
from ipld_car.terminal import Line, printable

from .listing import missing_shards


def render_change(change: Change, *, as_json: bool) -> Line:
    """Return the line on one difference."""
    if as_json:
        return {"change": change.sign, change.what: change.name, "old": change.old, "new": change.new}
    name = printable(change.name)
    return f"{change.sign} root {name}" if change.what == "root" else f"{change.sign} {name}"


def render_unknown(unknown: Unknown, name: str) -> Line:
    """Return the line on what is not known of an archive."""
    if unknown.shards:
        return f"{name}: {missing_shards(unknown.shards)}"
    return f"{name}: data for entry not found, nor what is below it: /{printable(unknown.path)}"
