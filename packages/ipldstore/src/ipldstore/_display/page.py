"""A box of HTML for notebooks: no script, light and dark, every name and value escaped. Knows no zarr."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from .clip import clip
from .style import STYLE


def page(title: str, facts: Mapping[str, str], body: Iterable[str]) -> str:
    """Return one box: a title, lines of facts, and parts that are HTML already.

    :param title: what it is, as text
    :param facts: name to value, as text
    :param body: HTML whose texts are escaped
    """
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(clip(value))}</dd>" for name, value in facts.items())
    listed = f"<dl class='ipld-facts'>{rows}</dl>" if rows else ""
    top = f"<style>{STYLE}</style><div class='ipld-title'>{escape(title)}</div>{listed}"
    return f"<div class='ipld'>{top}{''.join(body)}</div>"


def section(title: str, body: str, *, count: int | None = None, is_open: bool = True) -> str:
    """Return a part that opens and closes without a script.

    :param title: as text
    :param body: HTML whose texts are escaped
    """
    number = "" if count is None else f" <span class='ipld-dim'>({count:,})</span>"
    opened = " open" if is_open else ""
    return f"<details{opened}><summary>{escape(title)}{number}</summary>{body}</details>"


def table(rows: Iterable[Iterable[str]], head: Iterable[str] = ()) -> str:
    """Return rows of text as a table."""
    top = "".join(f"<th>{escape(each)}</th>" for each in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>{f'<tr>{top}</tr>' if top else ''}{lines}</table>"
