"""Print the results of ``ipld-car verify``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from ipld_car import cids
from ipld_car._cli.wording import WORDS
from ipld_car.errors import CarError, TruncatedError
from ipld_car.messages import Message, message_in_words
from ipld_car.ops import Report, Verdict
from ipld_car.terminal import Line

from .codec_names import by_name, not_followed

_MAX_LINES: Final = 20
"""Missing blocks that have a line each, for people."""


def render_verdict(verdict: Verdict, *, as_json: bool) -> Line:
    """Return the line on one block."""
    text = cids.to_text(verdict.cid_bytes)
    if not as_json:
        line = f"{verdict.verdict:<12} {text} block {verdict.number}, offset {verdict.offset}, {verdict.size} bytes"
        return f"{line}: {verdict.detail}" if verdict.detail else line
    found = {
        "type": "block",
        "block": verdict.number,
        "cid": text,
        "offset": verdict.offset,
        "size": verdict.size,
        "verdict": verdict.verdict,
    }
    return {**found, "detail": verdict.detail} if verdict.detail else found


def render_report(report: Report, *, as_json: bool, partial: bool) -> Iterator[Line]:
    """Yield the lines on the whole archive."""
    yield from _json(report, partial) if as_json else _text(report, partial)


def _json(report: Report, partial: bool) -> Iterator[Line]:
    for cid in report.missing:
        yield {"type": "missing", "cid": str(cid), "root": cid in report.missing_roots}
    for fault in report.index_details:
        yield {"type": "index", "detail": fault}
    if report.error:
        yield {
            "type": "error",
            "detail": Message(report.error.message).in_words(WORDS),
            "offset": report.error.offset,
            "block": report.error.block,
        }
    yield {
        "type": "summary",
        "good": report.is_good(partial=partial),
        "version": report.version,
        "roots": list(map(str, report.roots)),
        "blocks": report.blocks,
        "duplicates": report.blocks - report.distinct,
        "bad": report.bad,
        "missing": None if report.error else len(report.missing),
        "not_followed": by_name(report.not_followed),
        "index_entries": report.index_entries,
        "index_faults": report.index_faults,
    }


def _text(report: Report, partial: bool) -> Iterator[Line]:
    for number, cid in enumerate(report.missing):
        if number == _MAX_LINES:
            yield f"missing      and {len(report.missing) - _MAX_LINES} more (--json has all)"
            break
        yield f"missing      {cid}{', a root' if cid in report.missing_roots else ''}"
    if report.not_followed:
        yield f"not followed {not_followed(report.not_followed)}"
    for fault in report.index_details:
        yield f"index        {fault}"
    if report.index_faults > len(report.index_details):
        yield f"index        and {report.index_faults - len(report.index_details)} more faults"
    if report.error:
        yield f"unreadable   {message_in_words(report.error, WORDS)}"
    yield f"{'good' if report.is_good(partial=partial) else 'BAD'}: {_summary(report)}"


def _summary(report: Report) -> str:
    if report.version is None:
        return "no archive"
    parts = [f"CARv{report.version}", _count(report.blocks, "block")]
    if report.blocks > report.distinct:
        parts.append(_count(report.blocks - report.distinct, "duplicate"))
    parts.append(f"{report.bad} bad")
    parts.append(_count(len(report.roots), "root") if report.roots else "no roots")
    if report.error:
        parts.append(f"{_end(report.error)}, so what is missing is not known")
    else:
        parts.append(f"incomplete, {len(report.missing)} missing" if report.missing else "complete")
        if report.not_followed:
            unknown = f"the links of {_count(report.not_followed.total(), 'block')}"
            parts[-1] += f", {unknown} not known" if report.missing else f" but for {unknown}"
    if report.version == 2:
        if report.index_entries is None:
            parts.append("index unreadable" if report.index_faults else "no index")
        else:
            good = "index good" if not report.index_faults else _count(report.index_faults, "fault") + " in the index"
            parts.append(good)
    return ", ".join(parts)


def _end(error: CarError) -> str:
    if isinstance(error, TruncatedError):
        return "cut off"
    return "unreadable" if error.offset is None else f"unreadable from offset {error.offset}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
