"""The commands that read an archive."""

from __future__ import annotations

from typing import Final

import click

from ipld_car._cli.options import (
    archive_argument,
    cid_value,
    json_option,
    max_entries_option,
    output_argument,
    partial_option,
    read_once,
    source_of,
    target_of,
    zero_option,
)


@click.command()
@archive_argument
@json_option
@partial_option
@click.option("-v", "--verbose", is_flag=True, help="Print the verdict on every block, not only on bad ones.")
@click.option(
    "-j",
    "--jobs",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    help="Processes that hash at once; 0 for as many as there are processors.",
)
@zero_option()
def verify(file: str, as_json: bool, partial: bool, verbose: bool, jobs: int, zero_is_end: bool) -> int:
    """Check blocks, roots, links and index of FILE.

    Each block is hashed and compared with its CID. Every root, and every block that another one links, must be
    in the archive (--partial: a root must, what is linked may be elsewhere). The index of a CARv2 must have
    each block, in order, at its place.

    With --json there is a line for every block ("verdict": "ok", "mismatch", "unverifiable" for a hash function
    that is not known, "undecodable" for a block whose links cannot be read), for each thing that is missing,
    and a summary.
    """
    from ipld_car import ops
    from ipld_car._cli.render.verify import render_report, render_verdict
    from ipld_car.terminal import BAD, GOOD, open_printer, show_progress

    with open_printer() as print_line, show_progress() as progress:
        report = ops.verify(
            source_of(file),
            jobs=jobs,
            on_verdict=lambda verdict: print_line(render_verdict(verdict, as_json=as_json)),
            every=verbose or as_json,
            zero_length_section_as_eof=zero_is_end,
            progress=progress,
        )
        for line in render_report(report, as_json=as_json, partial=partial):
            print_line(line)
    return GOOD if report.is_good(partial=partial) else BAD


@click.command("list")
@archive_argument
@output_argument
@json_option
@click.option(
    "-v", "--verbose", is_flag=True, help="Print the codec of each block, and of dag-pb ones what is in them."
)
@click.option("--unixfs", is_flag=True, help="List the paths of files and directories below the roots instead.")
@click.option("--unixfs-blocks", is_flag=True, help="List these paths with their CIDs.")
@zero_option()
def list_command(
    file: str, output: str, as_json: bool, verbose: bool, unixfs: bool, unixfs_blocks: bool, zero_is_end: bool
) -> None:
    """List the blocks in FILE, or the paths.

    The CIDs go to OUTPUT, in their order. Blocks are not hashed here, and payloads not even read; "verify"
    does. With --json also where each block is: "payload_offset" and "size" are what a byte range request needs.

    Paths whose blocks are missing are listed too, and named on standard error, as is the number of missing
    blocks of sharded directories, whose entries are not known. With --json "kind" says "missing", and a line of
    "missing shard" has the path of the directory.
    """
    from ipld_car._cli.render.listing import render_blocks, render_paths
    from ipld_car.ops.output import check_not_input
    from ipld_car.terminal import open_printer, show_progress

    source = source_of(file)
    check_not_input(target_of(output), source)
    with open_printer(output) as print_line, open_printer(to_stderr=True) as warn, show_progress() as progress:
        if unixfs or unixfs_blocks:
            lines = render_paths(
                source,
                warn,
                as_json=as_json,
                with_cids=unixfs_blocks,
                zero_length_section_as_eof=zero_is_end,
                progress=progress,
            )
        else:
            lines = render_blocks(
                source, as_json=as_json, verbose=verbose, zero_length_section_as_eof=zero_is_end, progress=progress
            )
        for line in lines:
            print_line(line)


@click.command()
@archive_argument
@json_option
@click.option("--full", is_flag=True, help="Hash every block, too; the first bad one is an error.")
@zero_option(default=True)
def inspect(file: str, as_json: bool, full: bool, zero_is_end: bool) -> None:
    """Print figures about FILE.

    Version, roots, where data and index are, how many blocks of which codecs and hash functions there are, and
    of what sizes, as go-car's "car inspect" prints them. The first thing that cannot be read is an error.
    """
    from ipld_car import ops
    from ipld_car._cli.render.inspect import render_json, render_text
    from ipld_car.terminal import open_printer, show_progress

    with open_printer() as print_line, show_progress() as progress:
        found = ops.inspect(source_of(file), full=full, zero_length_section_as_eof=zero_is_end, progress=progress)
        print_line(render_json(found) if as_json else render_text(found))


@click.command()
@archive_argument
@json_option
@click.option("--implicit", is_flag=True, help="Print the blocks that no other block links, whatever the header says.")
@zero_option()
def root(file: str, as_json: bool, implicit: bool, zero_is_end: bool) -> None:
    """Print the roots of FILE, one a line.

    These are what the header names; an archive may have none, and need not have the blocks of those it names.
    """
    from ipld_car import ops
    from ipld_car.terminal import open_printer, show_progress

    if implicit:
        with show_progress() as progress:
            found = ops.find_implicit_roots(source_of(file), zero_length_section_as_eof=zero_is_end, progress=progress)
    else:
        found = ops.get_roots(source_of(file))
    with open_printer() as print_line:
        for cid in found:
            print_line({"root": str(cid)} if as_json else str(cid))


@click.command("get-block")
@click.argument("file")
@click.argument("cid", callback=cid_value)
@output_argument
@zero_option()
def get_block(file: str, cid: bytes, output: str, zero_is_end: bool) -> None:
    """Write the bytes of one block.

    The block CID in FILE goes to OUTPUT, when it has been verified. A CID of another codec or version over the
    same bytes finds them too.
    """
    from ipld_car import ops
    from ipld_car.ops.output import check_not_input, open_output
    from ipld_car.terminal import show_progress

    source, target = source_of(file), target_of(output)
    check_not_input(target, source)
    with show_progress() as progress:
        data = ops.get_block(source, cid, zero_length_section_as_eof=zero_is_end, progress=progress)
    with open_output(target) as stream:
        stream.write(data)


@click.command()
@click.argument("file")
@click.argument("path", default="")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Begin at this byte of the file.")
@click.option("--length", type=click.IntRange(min=0), default=None, help="Write at most so many bytes.")
@click.option("-o", "--output", default="-", help="Write here instead of standard output.")
@zero_option()
def cat(file: str, path: str, offset: int, length: int | None, output: str, zero_is_end: bool) -> None:
    """Write the bytes of a UnixFS file.

    It is the one at PATH in FILE, and its blocks are verified as they are read. PATH is names joined by "/",
    below the root, or begins with a CID; no path is the root itself. Of a large file only the blocks of the
    bytes that are asked for are read.
    """
    from ipld_car import ops
    from ipld_car.ops.output import check_not_input, open_output
    from ipld_car.terminal import show_progress

    source, target = source_of(file), target_of(output)
    check_not_input(target, source)
    stop = None if length is None else offset + length
    with show_progress() as progress, open_output(target) as stream:
        for piece in ops.cat(
            source, path, start=offset, stop=stop, zero_length_section_as_eof=zero_is_end, progress=progress
        ):
            stream.write(piece)


@click.command()
@click.argument("a")
@click.argument("b")
@json_option
@click.option("--unixfs", is_flag=True, help="Compare the paths of files and directories instead of blocks.")
@max_entries_option
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there is a difference.")
@zero_option()
def diff(a: str, b: str, as_json: bool, unixfs: bool, max_entries: int, exit_code: bool, zero_is_end: bool) -> int:
    """Print what is in only one of two archives.

    "-" is only in A, "+" only in B: roots first, then blocks in their order; with --unixfs paths, and "~" for
    what has changed. Blocks are compared by their CIDs, and not hashed here; "verify" does.

    A path that is below several roots of an archive has a CID below each. Those that it has in both archives do
    not count: if it is in A once, and in B with the same CID and another one, that is a "+". Where blocks of
    directories are missing, so that what is in them is not known, standard error says so.
    """
    from ipld_car import ops
    from ipld_car._cli.render.diff import render_change, render_unknown
    from ipld_car.terminal import BAD, GOOD, open_printer, show_progress

    read_once(a, b)
    names = {"a": a, "b": b}
    count = 0
    with open_printer() as print_line, open_printer(to_stderr=True) as warn, show_progress() as progress:
        if unixfs:
            changes = ops.diff_paths(
                source_of(a),
                source_of(b),
                max_entries=max_entries,
                on_unknown=lambda unknown: warn(render_unknown(unknown, names[unknown.archive])),
                zero_length_section_as_eof=zero_is_end,
                progress=progress,
            )
        else:
            changes = ops.diff(source_of(a), source_of(b), zero_length_section_as_eof=zero_is_end, progress=progress)
        for change in changes:
            count += 1
            print_line(render_change(change, as_json=as_json))
    return BAD if count and exit_code else GOOD


READING: Final[list[click.Command]] = [list_command, inspect, verify, root, get_block, cat, diff]
