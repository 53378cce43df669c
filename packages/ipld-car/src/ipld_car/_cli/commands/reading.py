"""The verbs that look into an archive."""

from __future__ import annotations

import os
from typing import Any, Final

import click

from ipld_car import cids
from ipld_car._cli.options import (
    archive_argument,
    cid_value,
    json_option,
    max_entries_option,
    output_argument,
    partial_option,
    read_once,
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
def verify(file: str, as_json: bool, partial: bool, verbose: bool, jobs: int) -> int:
    """Check blocks, roots, links and index of FILE.

    Each block is hashed and compared with its CID. Every root, and every block that another one links, must be
    in the archive (--partial: a root must, what is linked may be elsewhere). The index of a CARv2 must have
    each block, in order, at its place.

    With --json there is a line for every block ("verdict": "ok", "mismatch", "unverifiable" for a hash function
    that is not known, "undecodable" for a block whose links cannot be read), for each thing that is missing,
    and a summary.
    """
    from ipld_car._cli.files import mapped_file
    from ipld_car._cli.progress import progress
    from ipld_car._cli.render.printer import lines_to
    from ipld_car._cli.render.verify import tell_report, tell_verdict
    from ipld_car.ops.verify import verify as run

    with lines_to("-") as tell, mapped_file(file) as (path, buffer), progress("verifying", len(buffer)) as bar:
        report = run(
            path,
            buffer,
            jobs=jobs or os.cpu_count() or 1,
            tell=lambda verdict: tell(tell_verdict(verdict, as_json)),
            every=verbose or as_json,
            progress=bar,
        )
        for line in tell_report(report, as_json, partial):
            tell(line)
    return 0 if report.is_good(partial=partial) else 1


@click.command("list")
@archive_argument
@output_argument
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Tell the codec of each block, and of dag-pb ones what is in them.")
@click.option("--unixfs", is_flag=True, help="List the paths of files and directories below the roots instead.")
@click.option("--unixfs-blocks", is_flag=True, help="List these paths with their CIDs.")
def list_verb(file: str, output: str, as_json: bool, verbose: bool, unixfs: bool, unixfs_blocks: bool) -> None:
    """List the blocks in FILE, or the paths.

    The CIDs go to OUTPUT, in their order. Blocks are not hashed here, and payloads not even read; "verify"
    does. With --json also where each block is: "payload_offset" and "size" are what a byte range request needs.

    Paths whose blocks are missing are listed too, and told on standard error, as is the number of blocks that
    are missing of sharded directories, with nobody knows which entries. With --json "kind" says "missing", and
    a line of "missing shard" has the path of the directory.
    """
    from ipld_car._cli.files import not_over
    from ipld_car._cli.render.listing import blocks_of, paths_of
    from ipld_car._cli.render.printer import lines_to

    not_over(output, file)
    with lines_to(output) as tell, lines_to("-", standard_is_taken=True) as note:
        if unixfs or unixfs_blocks:
            for line in paths_of(file, note, as_json=as_json, with_cids=unixfs_blocks):
                tell(line)
        else:
            for line in blocks_of(file, as_json=as_json, verbose=verbose):
                tell(line)


@click.command()
@archive_argument
@json_option
@click.option("--full", is_flag=True, help="Hash every block, too; the first bad one is an error.")
def inspect(file: str, as_json: bool, full: bool) -> None:
    """Print figures about FILE.

    Version, roots, where data and index are, how many blocks of which codecs and hash functions there are, and
    of what sizes, as go-car's "car inspect" prints them. The first thing that cannot be read is an error.
    """
    from ipld_car._cli.files import mapped_file
    from ipld_car._cli.progress import progress
    from ipld_car._cli.render.printer import lines_to
    from ipld_car.ops import inspect as inspecting

    with lines_to("-") as tell, mapped_file(file) as (_, buffer), progress("hashing", len(buffer)) as bar:
        found = inspecting.inspect(buffer, full=full, progress=bar)
        tell(inspecting.as_mapping(found) if as_json else inspecting.report(found))


@click.command()
@archive_argument
@json_option
@click.option("--implicit", is_flag=True, help="Print the blocks that no other block links, whatever the header says.")
def root(file: str, as_json: bool, implicit: bool) -> None:
    """Print the roots of FILE, one a line.

    These are what the header names; an archive may have none, and need not have the blocks of those it names.
    """
    from ipld_car._cli.render.printer import lines_to
    from ipld_car.ops.blocks import open_blocks, roots_of

    if implicit:
        with open_blocks(file) as blocks:
            found = blocks.unlinked()
    else:
        found = roots_of(file)
    with lines_to("-") as tell:
        for cid in found:
            tell({"root": cids.to_text(cid)} if as_json else cids.to_text(cid))


@click.command("get-block")
@click.argument("file")
@click.argument("cid", callback=cid_value)
@output_argument
def get_block(file: str, cid: bytes, output: str) -> None:
    """Write the bytes of one block.

    The block CID in FILE goes to OUTPUT, when it has been verified. A CID of another codec or version over the
    same bytes finds them too.
    """
    from ipld_car._cli.files import not_over, writing
    from ipld_car.ops.blocks import missing_block, open_blocks

    not_over(output, file)
    with open_blocks(file) as blocks:
        try:
            data = blocks.get(cid)
        except KeyError:
            raise missing_block(cid, f"in {file}") from None
    with writing(output) as stream:
        stream.write(data)


@click.command()
@click.argument("file")
@click.argument("path", default="")
@click.option("--offset", type=click.IntRange(min=0), default=0, help="Begin at this byte of the file.")
@click.option("--length", type=click.IntRange(min=0), default=None, help="Write at most so many bytes.")
@click.option("-o", "--output", default="-", help="Write here instead of standard output.")
def cat(file: str, path: str, offset: int, length: int | None, output: str) -> None:
    """Write the bytes of a UnixFS file.

    It is the one at PATH in FILE, and its blocks are verified as they are read. PATH is names joined by "/",
    below the root, or begins with a CID; no path is the root itself. Of a large file only the blocks of the
    bytes that are wanted are read.
    """
    from ipld_car._cli.files import not_over, writing
    from ipld_car._cli.progress import progress
    from ipld_car.ops.blocks import open_blocks, roots_for, split_cid
    from ipld_car.ops.cat import pieces

    not_over(output, file)
    stop = None if length is None else offset + length
    with open_blocks(file) as blocks, progress("reading", length) as bar, writing(output) as stream:
        start, inside = split_cid(path)
        (root,) = [start] if start else roots_for(blocks, single=True)
        for piece in pieces(blocks, root, inside, offset, stop):
            stream.write(piece)
            bar.advance(len(piece))


@click.command()
@click.argument("a")
@click.argument("b")
@json_option
@click.option("--unixfs", is_flag=True, help="Compare the paths of files and directories instead of blocks.")
@max_entries_option
@click.option("--exit-code", is_flag=True, help="Exit with 1 if there is a difference.")
def diff(a: str, b: str, as_json: bool, unixfs: bool, max_entries: int, exit_code: bool) -> int:
    """Print what is in only one of two archives.

    "-" is only in A, "+" only in B: roots first, then blocks in their order; with --unixfs paths, and "~" for
    what has changed. Blocks are compared by their CIDs, and not hashed here; "verify" does.

    A path that is below several roots of an archive has a CID below each. Those that it has in both archives do
    not count: if it is in A once, and in B with the same CID and another one, that is a "+". Where blocks of
    directories are missing, so that nobody knows what is in them, it is told on standard error.
    """
    from ipld_car._cli.render.printer import lines_to
    from ipld_car.ops.diff import changes

    read_once(a, b)
    count = 0
    with lines_to("-") as tell, lines_to("-", standard_is_taken=True) as note:
        for change in changes(a, b, unixfs=unixfs, note=note, max_entries=max_entries):
            count += 1
            tell(change.as_mapping() if as_json else str(change))
    return 1 if count and exit_code else 0


READING: Final[list[Any]] = [list_verb, inspect, verify, root, get_block, cat, diff]
