"""Pages for browsers: what is served, a dataset's hierarchy, a directory. No script; every name is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final
from urllib.parse import quote

from ipldstore._display.clip import clip
from ipldstore._display.html import outline_html
from ipldstore._display.outline import ArrayOutline, GroupOutline
from ipldstore._display.page import page
from ipldstore._display.size import nbytes_text
from ipldstore._serve.sources import Source, text_of

from .picture import is_shown

_PICTURES: Final = 12
"""Pictures on one page: each reads chunks."""
_HEAD: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8">'
    '<meta name="viewport" content="width=device-width,initial-scale=1"><title>{title}</title>'
    "<style>body{{font-family:system-ui,sans-serif;margin:1.5em;background:Canvas;color:CanvasText;"
    "color-scheme:light dark}}"
    "a{{color:LinkText}}nav{{margin:.6em 0}}figure{{display:inline-block;margin:.5em}}figcaption{{font-size:.85em}}"
    "img{{max-width:100%;image-rendering:pixelated;border:1px solid GrayText}}li{{overflow-wrap:anywhere}}</style>"
    "</head><body><main>"
)
_TAIL: Final = "</main></body></html>"


def index_page(sources: Sequence[Source]) -> str:
    """Return the page of what is served: each source with its roots."""
    parts = []
    for source in sources:
        items = "".join(f'<li><a href="/ipfs/{root}">{root}</a></li>' for root in text_of(source.roots))
        parts.append(f"<h2>{escape(clip(source.name, 200))}</h2><ul>{items}</ul>")
    return f"{_HEAD.format(title='ipldstore')}<h1>ipldstore</h1>{''.join(parts)}{_TAIL}"


def dataset_page(root: str, key: str, found: GroupOutline | ArrayOutline, *, can_show: int) -> str:
    """Return the page of a group or array.

    :param root: the CID of the dataset, as text
    :param key: the path of the group or array in it
    :param can_show: the most bytes of chunks that a picture may take; 0 for no pictures
    """
    title = key or root
    arrays = [found] if isinstance(found, ArrayOutline) else list(found.arrays)
    shown = [each for each in arrays if can_show and is_shown(each, can_show) and not each.is_coordinate][:_PICTURES]
    figures = "".join(
        f'<figure><img src="{_url(root, each.path)}?picture" alt="{escape(clip(each.name, 60))}" loading="lazy">'
        f'<figcaption><a href="{_url(root, each.path)}">{escape(clip(each.name, 60))}</a></figcaption></figure>'
        for each in shown
    )
    groups = [] if isinstance(found, ArrayOutline) else [group for group in found.walk() if group is not found]
    below = "".join(
        f'<li><a href="{_url(root, each.path)}">/{escape(clip(each.path, 200))}</a></li>' for each in groups
    )
    listed = f"<h2>Groups</h2><ul>{below}</ul>" if below else ""
    box = page(
        "Array" if isinstance(found, ArrayOutline) else "Group", {"root": root, "path": f"/{key}"}, outline_html(found)
    )
    crumbs = _crumbs(root, key.split("/") if key else [])
    return f"{_HEAD.format(title=escape(clip(title, 100)))}{crumbs}{box}{listed}<div>{figures}</div>{_TAIL}"


def directory_page(path: str, entries: Sequence[tuple[str, int | None]], *, more: bool) -> str:
    """Return the page of a UnixFS directory.

    :param path: the path of the request
    :param entries: the name and the claimed size in bytes of each entry
    :param more: whether there are entries that are not listed
    """
    base = quote(path.rstrip("/"))
    items = "".join(
        f'<li><a href="{base}/{quote(name, safe="")}">{escape(clip(name, 200))}</a> {nbytes_text(size or 0)}</li>'
        for name, size in entries
    )
    rest = "<li>... and more</li>" if more else ""
    head = _HEAD.format(title=escape(clip(path, 100)))
    return f"{head}<h1>{escape(clip(path, 200))}</h1><ul>{items}{rest}</ul>{_TAIL}"


def _item(url: str, text: str) -> str:
    return f'<li><a href="{url}">{escape(clip(text, 200))}</a></li>'


def _url(root: str, path: str) -> str:
    return f"/ipfs/{root}/{quote(path)}" if path else f"/ipfs/{root}"


def _crumbs(root: str, parts: list[str]) -> str:
    links = ['<a href="/">ipldstore</a>', f'<a href="/ipfs/{root}">{root[:12]}…</a>']
    links += [
        f'<a href="{_url(root, "/".join(parts[: at + 1]))}">{escape(clip(part, 60))}</a>'
        for at, part in enumerate(parts)
    ]
    return f"<nav>{' / '.join(links)}</nav>"
