"""The commands that look at a dataset: its metadata, its keys, one key."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import click

from ipldstore._cli.options import Opening, json_option, open_options, what_argument

if TYPE_CHECKING:
    from ipldstore._store.ipld_store import IPLDStore


@click.command()
@what_argument
@click.argument("path", default="")
@json_option
@open_options
def info(what: str, path: str, as_json: bool, opening: Opening) -> int:
    """Print what a dataset has: dimensions, arrays, sizes, root.

    PATH is a group or an array in it. Only metadata is read, and no chunk.
    """
    from ipld_car.terminal import BAD, GOOD, open_printer

    from ipldstore._cli.render.looking import info_json, info_text
    from ipldstore._display.outline import outline

    with opening.store(what) as store, open_printer() as print_line:
        found = outline(store, path.strip("/"))
        if found is None and path:
            return _absent(store, path)
        print_line(info_json(store, found) if as_json else info_text(store, found))
        return BAD if found is None else GOOD


@click.command()
@what_argument
@click.argument("path", default="")
@json_option
@click.option("-r", "--recursive", is_flag=True, help="List all keys below PATH instead; they stream.")
@open_options
def ls(what: str, path: str, as_json: bool, recursive: bool, opening: Opening) -> int:
    """List the names below a path, or all keys.

    Each name is listed once, with "/" where something is below it. With --json "kind" says what it is: a group, an
    array, another directory, or a key.
    """
    from ipld_car.terminal import GOOD, open_printer

    from ipldstore._cli.render.looking import entries, name_json, name_text

    path = path.strip("/")
    with opening.store(what) as store, open_printer() as print_line:
        is_empty = True
        if recursive:
            for key in store.mapping.keys_below(path):
                is_empty = False
                print_line({"key": key} if as_json else name_text(key))
        else:
            for entry in entries(store, path):
                is_empty = False
                print_line(name_json(entry) if as_json else name_text(entry.text))
        if is_empty and path:
            if path in store:
                print_line({"key": path} if as_json else name_text(path))
                return GOOD
            return _absent(store, path)
        return GOOD


@click.command()
@what_argument
@click.argument("path", default="")
@json_option
@open_options
def tree(what: str, path: str, as_json: bool, opening: Opening) -> int:
    """Print the hierarchy: groups and arrays, with shapes and types.

    With --json there is a line for each group and each array. Only metadata is read.
    """
    from ipld_car.terminal import GOOD, open_printer

    from ipldstore._cli.render.looking import node_json, nodes, tree_text
    from ipldstore._display.outline import outline

    with opening.store(what) as store, open_printer() as print_line:
        found = outline(store, path.strip("/"))
        if found is None:
            return _absent(store, path or "/")
        for line in map(node_json, nodes(found)) if as_json else tree_text(found):
            print_line(line)
        return GOOD


@click.command()
@what_argument
@click.argument("key")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Begin at this byte.")
@click.option("--length", type=click.IntRange(min=0), default=None, help="Write at most so many bytes.")
@click.option("-o", "--output", default="-", help="Write here instead of standard output.")
@open_options
def cat(what: str, key: str, offset: int, length: int | None, output: str, opening: Opening) -> int:
    """Write the bytes of one key.

    KEY is as zarr has it: air/zarr.json, air/c/0/0. Its blocks are verified as they are read.
    """
    import sys

    from ipld_car.ops.output import open_output
    from ipld_car.terminal import GOOD, show_progress

    from ipldstore._cli.render.looking import no_key_text, pieces

    with opening.store(what) as store:
        if key not in store:
            return _fail(no_key_text(store, key))
        with show_progress() as progress, open_output(sys.stdout.buffer if output == "-" else output) as stream:
            for piece in pieces(store, key, offset, length, progress):
                stream.write(piece)
    return GOOD


@click.command()
@what_argument
@click.argument("path", default="")
@json_option
@open_options
def stat(what: str, path: str, as_json: bool, opening: Opening) -> int:
    """Print figures about a key, an array or a group.

    Of a key these are the size in bytes and the CID; of an array also how many of its chunks are written; of a group
    how many keys are below it. No chunk is read; of an array and a group all nodes of their indexes are.
    """
    from ipld_car.terminal import GOOD, open_printer

    from ipldstore._cli.render.looking import facts_text
    from ipldstore._cli.render.stat import facts_of

    with opening.store(what) as store, open_printer() as print_line:
        facts = facts_of(store, path.strip("/"))
        if facts is None:
            return _absent(store, path or "/")
        print_line(facts if as_json else facts_text(facts))
        return GOOD


def _absent(store: IPLDStore, path: str) -> int:
    from ipldstore._cli.render.looking import absent_text

    return _fail(absent_text(store, path))


def _fail(text: str) -> int:
    from ipld_car.terminal import BAD

    click.echo(f"ipldstore: {text}", err=True)
    return BAD


LOOKING: Final[tuple[click.Command, ...]] = (info, ls, tree, cat, stat)
