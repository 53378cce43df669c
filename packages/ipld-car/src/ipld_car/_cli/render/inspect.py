"""Print the results of ``ipld-car inspect``."""

from __future__ import annotations

from typing import Any

from ipld_car.ops import Inspection, Sizes

from .codec_names import by_name, code_name


def render_text(found: Inspection) -> str:
    """Return the figures for people, word for word as go-car prints them."""
    layout = found.layout
    lines = [f"Version: {layout.version}"]
    if layout.v2_header is not None:
        lines += [
            f"Characteristics: {found.characteristics}",
            f"Data offset: {layout.v2_header.data_offset}",
            f"Data (payload) length: {layout.v2_header.data_size}",
            f"Index offset: {layout.v2_header.index_offset}",
            f"Index type: {found.index or '(none)'}",
        ]
    roots = list(map(str, found.roots))
    named = " (none)" if not roots else f" {roots[0]}" if len(roots) == 1 else "".join(f"\n\t{root}" for root in roots)
    lines += [
        f"Roots:{named}",
        f"Root blocks present in data: {'Yes' if found.roots_present else 'No'}",
        f"Block count: {found.block_sizes.count}",
        f"Min / average / max block length (bytes): {_figures(found.block_sizes)}",
        f"Min / average / max CID length (bytes): {_figures(found.cid_sizes)}",
        "Block count per codec:",
        *(f"\t{code_name(code)}: {count}" for code, count in sorted(found.codecs.items())),
        "CID count per multihash:",
        *(f"\t{code_name(code)}: {count}" for code, count in sorted(found.hashes.items())),
    ]
    return "\n".join(lines)


def _figures(sizes: Sizes) -> str:
    return f"{sizes.least} / {sizes.mean} / {sizes.most}"


def render_json(found: Inspection) -> dict[str, Any]:
    """Return the figures for programs."""
    layout = found.layout
    figures: dict[str, Any] = {"version": layout.version}
    if layout.v2_header is not None:
        figures |= {
            "characteristics": found.characteristics,
            "data_offset": layout.v2_header.data_offset,
            "data_size": layout.v2_header.data_size,
            "index_offset": layout.v2_header.index_offset,
            "index": found.index or "(none)",
        }
    return figures | {
        "roots": list(map(str, found.roots)),
        "roots_present": found.roots_present,
        "blocks": found.block_sizes.count,
        "block_bytes": _mapping(found.block_sizes),
        "cid_bytes": _mapping(found.cid_sizes),
        "codecs": by_name(found.codecs),
        "multihashes": by_name(found.hashes),
    }


def _mapping(sizes: Sizes) -> dict[str, int]:
    return {"min": sizes.least, "mean": sizes.mean, "max": sizes.most}
