"""The commands about versions: what differs, what was done, and taking it back."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import click

from ipldstore._cli.options import Opening, age_value, json_option, open_options, what_argument


@click.command()
@click.argument("a")
@click.argument("b")
@json_option
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there is a difference.")
@open_options
def diff(a: str, b: str, as_json: bool, exit_code: bool, opening: Opening) -> int:
    """Print what differs between two datasets.

    A and B are anything that opens: two files, or two versions of a repository such as air.car@v1 and air.car@main.
    Arrays and groups that were added, deleted and changed are listed, with metadata, attributes and ranges of chunks.
    Only nodes that differ are read, and no chunk.
    """
    from ipld_car.terminal import BAD, GOOD, open_printer, printable

    from ipldstore._cli.render.history import diff_json
    from ipldstore._io.diff import diff as diff_of

    with opening.store(a) as old, opening.store(b) as new, open_printer() as print_line:
        found = diff_of(old, new)
        if as_json:
            for line in diff_json(found):
                print_line(line)
        else:
            for text in (*found.nodes, *found.keys):
                print_line(printable(str(text)))
    return BAD if found and exit_code else GOOD


@click.command()
@what_argument
@click.argument("ref", required=False)
@json_option
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Print at most so many.")
@click.option("--graph", is_flag=True, help="Draw the history of all branches and tags, a line for each commit.")
@click.option("--operations", is_flag=True, help="Print what was done to the names instead, with the states.")
@open_options
def log(
    what: str, ref: str | None, as_json: bool, limit: int | None, graph: bool, operations: bool, opening: Opening
) -> None:
    """Print the commits of a repository, the newest first.

    REF is a branch, a tag or a commit, also with steps behind it: main~3, main@2026-05-01T00:00Z. It may stand behind
    "@" in WHAT, or be named by --branch, --tag, --commit and --as-of. Without it the default branch is meant.
    """
    from itertools import islice

    from ipld_car.terminal import open_printer, printable

    from ipldstore._cli.render.history import commit_json, commit_text, operation_json, operation_text

    version = opening.version(what, ref)
    with version.opening.repository(version.what) as repository, open_printer() as print_line:
        ref = version.ref_in(repository)
        if graph:
            for line in repository.graph(ref, limit=limit).splitlines():
                print_line({"line": line} if as_json else printable(line))
        elif operations:
            for operation in islice(repository.operations(), limit):
                print_line(operation_json(operation) if as_json else operation_text(operation))
        else:
            for commit in islice(repository.log(ref), limit):
                print_line(commit_json(commit) if as_json else commit_text(commit))


@click.command()
@what_argument
@click.argument("ref")
@click.option("--into", metavar="BRANCH", help="The branch that goes on; by default the default branch.")
@click.option("-m", "--message", help="Of the commit; by default it says what was merged.")
@click.option("--resolve", type=click.Choice(["ours", "theirs"]), help="Which side counts where both changed the same.")
@click.option("--fast-forward", is_flag=True, help="Make no commit where the branch only has to go on.")
@click.option("--unrelated", is_flag=True, help="Merge also what has no history in common.")
@click.option("--author", help="Of the commit.")
@json_option
@open_options
def merge(what: str, ref: str, as_json: bool, opening: Opening, **options: Any) -> int:
    """Merge a branch, a tag or a commit into a branch.

    The contents are merged, three-way. Where both sides have changed the same part, the conflicts are listed, nothing
    is changed, and the exit code is 1; --resolve decides them.
    """
    from ipld_car.messages import message_in_words
    from ipld_car.terminal import BAD, GOOD, open_printer, printable

    from ipldstore._cli.wording import WORDS
    from ipldstore.errors import MergeConflictError

    with opening.repository(what, read_only=False) as repository, open_printer() as print_line:
        try:
            cid = repository.merge(ref, **options)
        except MergeConflictError as error:
            for conflict in error.conflicts:
                print_line({"conflict": str(conflict)} if as_json else printable(f"conflict: {conflict}"))
            told = message_in_words(error, WORDS).splitlines()[0]
            click.echo(f"ipldstore: {printable(told)}", err=True)
            return BAD
        print_line({"commit": str(cid)} if as_json else str(cid))
        return GOOD


@click.command()
@what_argument
@click.option("--to", "state", metavar="STATE", help='A state of "log --operations", also one that was undone.')
@json_option
@open_options
def undo(what: str, state: str | None, as_json: bool, opening: Opening) -> None:
    """Give all names back what they were before the latest operation.

    Undoing again goes one operation further back. --to goes to any state of the operation log, back or forward.
    """
    from ipld_car.terminal import open_printer

    with opening.repository(what, read_only=False) as repository, open_printer() as print_line:
        cid = repository.undo() if state is None else repository.restore(state)
        print_line({"state": str(cid)} if as_json else str(cid))


@click.command()
@what_argument
@click.option("--older-than", required=True, metavar="AGE", callback=age_value, help="30m, 12h, 7d, 4w, or a time.")
@click.option("--drop-tags", is_flag=True, help="Delete tags of older commits, instead of keeping these.")
@json_option
@open_options
def expire(what: str, older_than: timedelta | datetime, drop_tags: bool, as_json: bool, opening: Opening) -> None:
    """Forget the commits that are older than AGE.

    The kept commits are written anew, and have other CIDs, which are printed as OLD NEW; the contents stay. The latest
    commit of each branch is kept. "gc" frees the blocks.
    """
    from ipld_car.terminal import open_printer

    with opening.repository(what, read_only=False) as repository, open_printer() as print_line:
        for old, new in repository.expire(older_than, keep_tags=not drop_tags).items():
            print_line({"old": str(old), "new": str(new)} if as_json else f"{old} {new}")


HISTORY: Final[tuple[click.Command, ...]] = (diff, log, merge, undo, expire)
