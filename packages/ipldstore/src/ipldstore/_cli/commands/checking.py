"""The commands that check a dataset, and mend it."""

from __future__ import annotations

from typing import Any, Final

import click

from ipldstore._cli.options import Opening, far_option, json_option, open_options, what_argument


@click.command()
@what_argument
@json_option
@click.option("--from", "source", metavar="SOURCE", help="Where nodes are read that are lost; no chunk is.")
@far_option("source")
@click.option("--history", is_flag=True, help="Check all commits of a repository and their datasets, up to an error.")
@open_options
def verify(
    what: str, source: str | None, far_options: dict[str, Any] | None, as_json: bool, history: bool, opening: Opening
) -> int:
    """Read every byte below a root, and say what is lost.

    Each block is hashed. What is missing or damaged is named: by array, with the regions in elements and in chunks, and
    by block. It goes on behind each block that is lost. Of a repository the version that is opened is verified.

    A CAR file that was cut off may have lost its root, too. With --from, nodes that are lost here are read from SOURCE,
    so that it can be told which arrays lack what.

    With --json one object has it all. "repair" fetches what is lost from elsewhere.
    """
    from ipld_car.terminal import BAD, GOOD, open_printer, printable, show_progress

    from ipldstore._cli.work.verifying import verify_address

    if far_options and source is None:
        raise click.UsageError("expected --source-option with --from, found no --from")
    if history and source is not None:
        raise click.UsageError("expected --from or --history, found both")
    opening = Opening({"cache": "", **opening.given})  # one that is not asked for by name would hide what is lost
    with open_printer() as print_line:
        if history:
            with opening.repository(what) as repository:
                count = repository.verify()
            print_line({"good": True, "commits": count} if as_json else f"good: {count:,} commits")
            return GOOD
        with show_progress() as progress:
            report = verify_address(what, source, far_options, opening, progress)
        if as_json:
            print_line(report.data)
        else:
            for line in str(report).splitlines():
                print_line(printable(line))
    return GOOD if report else BAD


@click.command()
@what_argument
@click.option("--from", "source", required=True, metavar="SOURCE", help="Where good blocks are: anything that opens.")
@far_option("source")
@json_option
@open_options
def repair(what: str, source: str, far_options: dict[str, Any] | None, as_json: bool, opening: Opening) -> int:
    """Fetch the blocks that are missing or damaged from SOURCE.

    WHAT is a CAR file, a folder or a bucket. All blocks that its root reaches are read; each that is lost here is read
    from SOURCE, verified, and put here. Of a repository that is all of its history.
    """
    from ipld_car.terminal import BAD, GOOD, open_printer, show_progress

    from ipldstore._cli.work.apart import require_apart
    from ipldstore._io.repair import repair as repair_at

    require_apart(what, source)
    with show_progress() as progress:
        done = repair_at(what, source, source_options=far_options, progress=progress, **opening.place())
    with open_printer() as print_line:
        if as_json:
            print_line({**done._asdict(), "lost": list(map(str, done.lost))})
        else:
            print_line(f"{done.checked:,} blocks checked, {done.blocks:,} fetched ({done.bytes:,} bytes)")
            for cid in done.lost:
                print_line(f"lost: {cid}")
    return BAD if done.lost else GOOD


CHECKING: Final[tuple[click.Command, ...]] = (verify, repair)
