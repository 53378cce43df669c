"""The commands that make archives out of archives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import click

from ipld_car import cids
from ipld_car._cli.options import (
    STANDARD,
    cid_value,
    json_option,
    read_once,
    selector_value,
    size_value,
    source_of,
    target_of,
    version_option,
    zero_option,
)
from ipld_car.errors import CarError

if TYPE_CHECKING:
    from ipld_car._graph.selector import Selector


@click.command("get-dag")
@click.argument("arguments", nargs=-1, required=True, metavar="FILE [CID] [OUTPUT]")
@click.option("-s", "--selector", callback=selector_value, help="Only what this selector explores, in DAG-JSON.")
@click.option("--strict", is_flag=True, help="Fail if a block below CID is missing.")
@version_option(2)
@json_option
@zero_option()
def get_dag(
    arguments: tuple[str, ...],
    selector: Selector | None,
    strict: bool,
    version: int,
    as_json: bool,
    zero_is_end: bool,
) -> None:
    """Write what one block reaches as an archive.

    OUTPUT has CID as root, and the blocks of FILE that it reaches; without CID, those that the one root of FILE
    reaches. They are written depth first, each once. Blocks that are missing are left out and printed, as is the
    number of blocks of a codec whose links are not known here. With --selector only those that it comes to, see
    https://ipld.io/specs/selectors/:

    \b
      ipld-car get-dag -s '{"f":{"f>":{"a":{"a":{">":{".":{}}}}}}}' big.car CID part.car
    """
    from ipld_car import ops
    from ipld_car._cli.render.codec_names import by_name, not_followed
    from ipld_car.terminal import open_printer, show_progress

    file, root, output = _dag_arguments(list(arguments))
    with open_printer(to_stderr=output == STANDARD or not as_json) as print_line, show_progress() as progress:
        dag = ops.get_dag(
            source_of(file),
            target_of(output),
            root,
            selector=selector,
            strict=strict,
            version=version,
            zero_length_section_as_eof=zero_is_end,
            progress=progress,
        )
        for cid in dag.missing:
            print_line({"cid": str(cid), "missing": True} if as_json else f"block not found: {cid} (skipping...)")
        if as_json:
            print_line({"root": str(dag.root), "blocks": dag.blocks, "not_followed": by_name(dag.not_followed)})
        elif dag.not_followed:
            print_line(f"not followed: {not_followed(dag.not_followed)}")


def _dag_arguments(arguments: list[str]) -> tuple[str, bytes | None, str]:
    file = arguments.pop(0)
    root = None
    if arguments:
        try:
            root = cids.to_bytes(arguments[0])
            del arguments[0]
        except CarError:
            if len(arguments) > 1:
                raise click.UsageError(f"expected a CID, found {arguments[0]!r}") from None
    if len(arguments) > 1:
        raise click.UsageError(f"expected FILE, CID and OUTPUT, found {arguments[1]!r} too")
    return file, root, arguments[0] if arguments else "-"


@click.command("filter")
@click.argument("file")
@click.argument("output")
@click.option("--cid-file", default="-", help="Read the CIDs here, one a line; by default from standard input.")
@click.option("--inverse", is_flag=True, help="Leave these CIDs out, and keep all others.")
@click.option("--append", is_flag=True, help="Append to OUTPUT, a CARv2, and keep its roots.")
@version_option(2)
@json_option
@zero_option()
def filter_command(
    file: str,
    output: str,
    cid_file: str,
    inverse: bool,
    append: bool,
    version: int,
    as_json: bool,
    zero_is_end: bool,
) -> None:
    """Write only the blocks with given CIDs.

    The blocks of FILE are verified, and go to OUTPUT in their order, each once. Roots that are left out are not
    in its header either.
    """
    from ipld_car import ops
    from ipld_car.ops.archive import open_stream
    from ipld_car.ops.output import check_not_input
    from ipld_car.terminal import open_printer, show_progress

    _check_usage_of_filter(file, output, cid_file, append=append, version=version)
    source, target = source_of(file), target_of(output)
    check_not_input(target, source_of(cid_file), *([] if append else [source]))
    with open_stream(source_of(cid_file)) as lines:
        wanted = _read_cids(lines)
    with open_printer(to_stderr=output == STANDARD) as print_line, show_progress() as progress:
        if not as_json:
            print_line(f"filtering {'out' if inverse else 'to'} {len(wanted)} cids")
        written = ops.filter_blocks(
            source,
            target,
            wanted,
            inverse=inverse,
            append=append,
            version=version,
            zero_length_section_as_eof=zero_is_end,
            progress=progress,
        )
        if as_json:
            print_line({"roots": list(map(str, written.roots)), "blocks": written.blocks})
    if not written.roots and not append and not as_json:
        click.echo("warning: no roots defined after filtering", err=True)


def _check_usage_of_filter(file: str, output: str, cid_file: str, *, append: bool, version: int) -> None:
    """Refuse arguments that do not go together."""
    if [cid_file, file, output if append else ""].count(STANDARD) > 1:
        raise click.UsageError("standard input has either an archive or the CIDs: --cid-file names a file of them")
    if append and output == STANDARD:
        raise click.UsageError("expected the file of a CARv2 to append to, found standard output")
    if append and version != 2:
        raise click.UsageError("expected to append to a CARv2, found --version 1")


def _read_cids(lines: Any) -> set[bytes]:
    """Read CIDs, one a line; empty lines do not count."""
    found = set()
    for number, line in enumerate(lines, 1):
        text = line.decode(errors="replace").strip()
        if text:
            try:
                found.add(cids.to_bytes(text))
            except CarError as error:
                raise click.UsageError(f"line {number} of the CIDs: {error}") from None
    return found


_sources_argument = click.argument("sources", nargs=-1, required=True, metavar="FILE...")
_output_option = click.option("-o", "--output", "-f", "output", default="-", help="Write here instead of stdout.")


@click.command()
@_sources_argument
@_output_option
@version_option(1)
@zero_option()
def concat(sources: tuple[str, ...], output: str, version: int, zero_is_end: bool) -> None:
    """Write archives one after the other.

    All blocks of all FILEs, duplicates too, and the roots of the first. Blocks are verified.
    """
    from ipld_car import ops

    _join(ops.concat, sources, output, version=version, zero_is_end=zero_is_end)


@click.command()
@_sources_argument
@_output_option
@version_option(2)
@zero_option()
def merge(sources: tuple[str, ...], output: str, version: int, zero_is_end: bool) -> None:
    """Write archives into one, each block once.

    It has the roots of all FILEs. Blocks are verified, and keep their order. It also joins the parts that
    "split" makes.
    """
    from ipld_car import ops

    _join(ops.merge, sources, output, version=version, zero_is_end=zero_is_end)


def _join(
    join: Callable[..., object], sources: tuple[str, ...], output: str, *, version: int, zero_is_end: bool
) -> None:
    """Call a function that writes several archives into one."""
    from ipld_car.terminal import show_progress

    read_once(*sources)
    with show_progress() as progress:
        join(
            map(source_of, sources),
            target_of(output),
            version=version,
            zero_length_section_as_eof=zero_is_end,
            progress=progress,
        )


@click.command()
@click.argument("file")
@click.argument("prefix", required=False)
@click.option("--size", callback=size_value, required=True, help="Bytes of a part at most, such as 100MB or 2GiB.")
@json_option
@zero_option()
def split(file: str, prefix: str | None, size: int, as_json: bool, zero_is_end: bool) -> None:
    """Cut an archive into smaller ones.

    FILE becomes PREFIX0000.car, PREFIX0001.car and so on, of at most SIZE each. Each is a CARv1 with the roots
    of FILE; "merge" joins them. PREFIX is by default the name of FILE without ".car", and "-". No part is
    written over a file that is there.
    """
    from ipld_car import ops
    from ipld_car.terminal import open_printer, show_progress

    if prefix is None:
        if file == STANDARD:
            raise click.UsageError("expected a PREFIX for the parts of what standard input gives")
        prefix = file.removesuffix(".car") + "-"
    with open_printer() as print_line, show_progress() as progress:
        for part in ops.split(source_of(file), prefix, size, zero_length_section_as_eof=zero_is_end, progress=progress):
            found = {"path": str(part.path), "blocks": part.blocks, "size": part.size}
            print_line(found if as_json else f"{part.path}: {part.blocks} blocks, {part.size} bytes")


@click.command()
@click.argument("file")
@click.argument("output", default="-")
@version_option(2)
@json_option
@zero_option()
def repair(file: str, output: str, version: int, as_json: bool, zero_is_end: bool) -> int:
    """Write what is whole of a damaged archive.

    OUTPUT has the roots of FILE, and each of its blocks that is what its CID says, once. Behind damage the next whole
    block is found by its hash. The ranges of bytes of FILE that are lost are printed; the exit code is 1 if there are
    any. Where the header is lost, OUTPUT has no roots: "get-dag" writes an archive of a root that you know. "ipldstore
    repair" fetches from elsewhere what a dataset has lost.
    """
    from ipld_car import ops
    from ipld_car.terminal import open_printer, show_progress

    with open_printer(to_stderr=output == STANDARD) as print_line, show_progress() as progress:
        done = ops.repair(
            source_of(file),
            target_of(output),
            version=version,
            zero_length_section_as_eof=zero_is_end,
            progress=progress,
        )
        lost = [{"offset": start, "size": stop - start} for start, stop in done.lost]
        if as_json:
            print_line({"roots": list(map(str, done.roots)), "blocks": done.blocks, "lost": lost})
        else:
            print_line(f"{done.blocks} blocks")
            for each in lost:
                print_line(f"lost: {each['size']} bytes from offset {each['offset']}")
            if lost and not lost[0]["offset"]:
                print_line(
                    "the header is lost, and with it the roots: get-dag writes an archive of a root that is known"
                )
    return 1 if lost else 0


_CODECS: Final = {"raw": cids.RAW, "dag-pb": cids.DAG_PB, "dag-cbor": cids.DAG_CBOR, "dag-json": cids.DAG_JSON}


@click.command("put-block")
@click.argument("file")
@click.option("-c", "--codec", type=click.Choice(list(_CODECS)), help="By default raw.")
@click.option("--cid", "expected", callback=cid_value, help="The CID that the block must have.")
@click.option("--set-root", is_flag=True, help="Make the block the root of a new FILE.")
@version_option(2)
@json_option
def put_block(
    file: str, codec: str | None, expected: bytes | None, set_root: bool, version: int, as_json: bool
) -> None:
    """Put the bytes of standard input into FILE, as one block.

    FILE is made if it is not there; else its version and roots stay, and the block goes to the end unless it is
    there already. The CID is printed: one of version 1, by sha2-256, unless --cid says which. Bytes that are not
    what the codec says are refused.
    """
    import sys

    from ipld_car import ops
    from ipld_car._car.limits import MAX_SECTION_BYTES
    from ipld_car.hashes import sha2_256
    from ipld_car.terminal import open_printer

    if codec and expected:
        raise click.UsageError("expected --codec or --cid, found both: a CID has a codec")
    data = sys.stdin.buffer.read(MAX_SECTION_BYTES + 1)
    cid = expected or cids.make(_CODECS[codec or "raw"], sha2_256(data))
    added = ops.put_block(target_of(file), cid, data, version=version, set_root=set_root)
    with open_printer(to_stderr=file == STANDARD) as print_line:
        text = cids.to_text(cid)
        print_line({"cid": text, "size": len(data), "added": added} if as_json else text)


WRITING: Final[list[click.Command]] = [put_block, get_dag, filter_command, concat, merge, split, repair]
