"""The commands that free unneeded blocks, and take in what killed writers have left."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import click

from ipldstore._cli.options import Opening, age_value, json_option, open_options, what_argument


@click.command()
@what_argument
@click.option("--older-than", metavar="AGE", callback=age_value, help="30m, 12h, 7d, 4w, or a time.")
@click.option("--dry-run", is_flag=True, help="Free nothing, and say what would be freed; of a repository.")
@json_option
@open_options
def gc(what: str, older_than: timedelta | datetime | None, dry_run: bool, as_json: bool, opening: Opening) -> None:
    """Free the blocks that no root and no name needs.

    With --older-than it works beside writers, in a folder or a bucket: what was put since is kept, and of a repository
    what the operation log has reached since. AGE should be longer than any writer takes. Without it, a file or folder
    must not be open for writing; a bucket needs it, and a node, which frees blocks itself: there only sessions of
    writers are deleted.
    """
    from ipld_car.terminal import open_printer

    from ipldstore._io.compact import compact

    if dry_run:
        from ipldstore._repository.repository import Repository

        if older_than is None:
            raise click.UsageError("expected with --dry-run --older-than, as for a repository")
        with Repository.open(what, **opening.place()) as repository:
            done = repository.garbage_collect(older_than, dry_run=True)
    else:
        given = {name: value for name, value in opening.place().items() if name in _OF_COMPACT}
        done = compact(what, older_than, **given)
    with open_printer() as print_line:
        words = "would free" if dry_run else "freed"
        text = f"{words} {done.freed_blocks:,} blocks ({done.freed_bytes:,} bytes), kept {done.kept_blocks:,}"
        print_line(done._asdict() if as_json else text)


@click.command()
@what_argument
@click.option("--recover", metavar="NAME", help="Take in what the writers of this session have left, and end it.")
@json_option
@open_options
def sessions(what: str, recover: str | None, as_json: bool, opening: Opening) -> None:
    """List the sessions of writers, in a folder, bucket or node.

    WHAT of a node is the address of its RPC API, such as http://127.0.0.1:5001, or any ipfs://CID for the node of this
    machine. A session is one dataset that several processes write. One that has not ended and in which nothing happens
    any more was left by a coordinator that was killed; --recover takes in its changes, and prints the root.
    """
    from ipld_car.terminal import open_printer

    from ipldstore._io.sessions import recover as recover_session
    from ipldstore._io.sessions import sessions as sessions_of

    storage_options = opening.place().get("storage_options")
    with open_printer() as print_line:
        if recover is not None:
            root = recover_session(what, recover, storage_options=storage_options)
            print_line({"root": str(root)} if as_json else str(root))
            return
        for found in sessions_of(what, storage_options=storage_options):
            state = "ended" if found.ended else "open"
            seconds = round(found.age.total_seconds())
            text = f"{found.name} {state}, {seconds} s old, {len(found.keys)} keys to take in, root {found.root}"
            line = {
                "session": found.name,
                "ended": found.ended,
                "age_seconds": found.age.total_seconds(),
                "keys": list(found.keys),
                "writers": list(found.writers),
                "root": str(found.root),
            }
            print_line(line if as_json else text)


_OF_COMPACT: Final = ("storage_options", "zero_length_section_as_eof")
"""The options of opening that have a meaning where blocks are freed: what is far away is not asked through a cache."""

UPKEEP: Final[tuple[click.Command, ...]] = (gc, sessions)
