"""The commands about the names of a repository: branches and tags."""

from __future__ import annotations

from typing import Any, Final

import click

from ipldstore._cli.options import Opening, json_option, open_options, what_argument


@click.command()
@what_argument
@click.argument("name", required=False)
@click.argument("at", required=False)
@click.option("--reset", is_flag=True, help="Move the branch NAME to AT.")
@click.option("--delete", is_flag=True, help="Delete the branch NAME.")
@click.option("--rename", metavar="NEW", help="Rename the branch NAME.")
@click.option("--default", is_flag=True, help="Make NAME the branch that is meant where none is named.")
@json_option
@open_options
def branch(what: str, name: str | None, at: str | None, as_json: bool, opening: Opening, **actions: Any) -> None:
    """List, make, move, rename or delete branches.

    Without NAME they are listed, the default one with "*". With NAME a branch is made at the commit AT, by default that
    of the default branch. "undo" takes anything back.
    """
    from ipld_car.terminal import open_printer, printable

    chosen = [action for action, value in actions.items() if value]
    if len(chosen) > 1 or (chosen and name is None):
        raise click.UsageError("expected NAME with one of --reset, --delete, --rename and --default")
    if bool(at) and chosen and chosen != ["reset"]:
        raise click.UsageError(f"expected no AT with --{chosen[0]}")
    if chosen == ["reset"] and at is None:
        raise click.UsageError("expected with --reset the commit AT")
    with opening.repository(what, read_only=name is None) as repository, open_printer() as print_line:
        if name is None:
            for each, cid in sorted(repository.branches.items()):
                is_default = each == repository.default_branch
                line = {"branch": each, "commit": str(cid), "default": is_default}
                print_line(line if as_json else f"{'*' if is_default else ' '} {printable(each)} {cid}")
            return
        if actions["delete"]:
            repository.delete_branch(name)
        elif actions["rename"]:
            repository.rename_branch(name, actions["rename"])
        elif actions["default"]:
            repository.set_default(name)
        else:
            assert at is not None or not actions["reset"]  # noqa: S101  # refused above
            cid = repository.reset_branch(name, at or "") if actions["reset"] else repository.create_branch(name, at)
            print_line({"branch": name, "commit": str(cid)} if as_json else str(cid))


@click.command()
@what_argument
@click.argument("name", required=False)
@click.argument("at", required=False)
@click.option("--delete", is_flag=True, help="Delete the tag NAME.")
@json_option
@open_options
def tag(what: str, name: str | None, at: str | None, delete: bool, as_json: bool, opening: Opening) -> None:
    """List, make or delete tags.

    Without NAME they are listed. With NAME a tag is made at the commit AT, by default that of the default branch. A tag
    does not move.
    """
    from ipld_car.terminal import open_printer, printable

    if delete and (name is None or at is not None):
        raise click.UsageError("expected NAME alone with --delete")
    with opening.repository(what, read_only=name is None) as repository, open_printer() as print_line:
        if name is None:
            for each, cid in sorted(repository.tags.items()):
                print_line({"tag": each, "commit": str(cid)} if as_json else f"{printable(each)} {cid}")
        elif delete:
            repository.delete_tag(name)
        else:
            cid = repository.create_tag(name, at)
            print_line({"tag": name, "commit": str(cid)} if as_json else str(cid))


NAMES: Final[tuple[click.Command, ...]] = (branch, tag)
