"""The commands that make archives out of files, and files out of archives."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click

from ipld_car._cli.options import (
    STANDARD,
    chunker_value,
    json_option,
    max_entries_option,
    read_once,
    source_of,
    target_of,
    version_option,
    zero_option,
)

if TYPE_CHECKING:
    from ipld_car import ops
    from ipld_car.terminal import Printer


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...")
@click.option("-f", "--file", "-o", "--output", "output", required=True, help='Write the archive here; "-" for stdout.')
@click.option("--no-wrap", is_flag=True, help="Make the one SOURCE the root, instead of a directory that names it.")
@version_option(2)
@click.option("--chunker", callback=chunker_value, default="size-1048576", show_default=True, help="Bytes of a leaf.")
@click.option(
    "--max-file-links", type=click.IntRange(2, 8192), default=1024, show_default=True, help="Links in a node of a file."
)
@click.option("--hidden/--no-hidden", default=True, show_default=True, help="Take what begins with a dot, too.")
@click.option("--stdin-name", default="stdin", show_default=True, help='The name of what SOURCE "-" gives.')
@click.option("-v", "--verbose", is_flag=True, help="Print each file, folder and link, with its CID.")
@json_option
def create(  # noqa: PLR0913, PLR0917 - one for each option
    sources: tuple[str, ...],
    output: str,
    no_wrap: bool,
    version: int,
    chunker: int,
    max_file_links: int,
    hidden: bool,
    stdin_name: str,
    verbose: bool,
    as_json: bool,
) -> None:
    """Make an archive of files and folders.

    They are kept as UnixFS, and the root is printed. The CIDs are those of

    \b
      ipfs add -r --cid-version=1 --raw-leaves
        --chunker=size-1048576 --max-file-links=1024

    (with -w, unless there is --no-wrap): raw leaves of 1 MiB, so that the fewest blocks carry the data. Kubo's
    own defaults are --chunker=size-262144 --max-file-links=174. Directories whose names and CIDs take more than
    256 KiB are sharded, as Kubo does it. Symbolic links are kept as links. Neither modes nor times are kept: the
    same contents have the same CID.

    Blocks are written depth first from the root, each once: with --version 1 the same bytes as "ipfs dag
    export".
    """
    import sys

    from ipld_car import ops
    from ipld_car.terminal import open_printer, printable, show_progress

    if no_wrap and len(sources) > 1:
        raise click.UsageError("--no-wrap takes one SOURCE: several need a directory that names them")
    read_once(*sources)

    with open_printer(to_stderr=output == STANDARD) as print_line, show_progress() as progress:

        def on_added(added: ops.Added) -> None:
            if as_json:
                print_line({"path": added.path, "cid": str(added.cid), "size": added.size})
            elif verbose:
                print_line(f"{added.cid} {printable(added.path)}")

        made = ops.create(
            target_of(output),
            [ops.NamedFile(stdin_name, sys.stdin.buffer) if each == STANDARD else each for each in sources],
            version=version,
            wrap=not no_wrap,
            hidden=hidden,
            chunk_size=chunker,
            max_links=max_file_links,
            on_added=on_added,
            progress=progress,
        )
        print_line({"root": str(made.root), "blocks": made.blocks} if as_json else str(made.root))


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-f", "--file", "-i", "--input", "file", required=True, help='The archive; "-" for standard input.')
@click.option("-o", "--output", default=".", help='Write into this folder; "-" writes one file to stdout.')
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@click.option("--partial", is_flag=True, help="It is no failure if blocks of some files are missing.")
@click.option("--skip-unsafe-links", is_flag=True, help="Leave out links that lead out of the folder, and print them.")
@max_entries_option
@click.option("-v", "--verbose", is_flag=True, help="Print the path of each file and link.")
@json_option
@zero_option()
def extract(  # noqa: PLR0913, PLR0917 - one for each option
    paths: tuple[str, ...],
    file: str,
    output: str,
    force: bool,
    partial: bool,
    skip_unsafe_links: bool,
    max_entries: int,
    verbose: bool,
    as_json: bool,
    zero_is_end: bool,
) -> int:
    """Write the files and folders in an archive.

    It must hold UnixFS data. PATHs are names joined by "/", below one of the roots at least, or begin with a
    CID; without, all that is below the roots is written. Where two roots have other things at the same path, a
    CID says which is meant. A root that is a file itself gets its CID as name. An archive without roots begins
    with what no block links.

    Every block is verified. Nothing is written if a block is bad, if a name or a link would lead out of the
    folder (--skip-unsafe-links leaves such links out, and prints them), or if a file is there already (--force
    replaces files). Files of which blocks are missing are left out and printed; then the exit code is 1, unless
    there is --partial.
    """
    from ipld_car import ops
    from ipld_car._cli.render.extract import render_result
    from ipld_car.terminal import BAD, GOOD, open_printer, show_progress

    source = source_of(file)
    with show_progress() as progress, open_printer(to_stderr=True) as warn:
        if output == STANDARD:
            _print_file(source, paths, zero_is_end=zero_is_end, progress=progress)
            warn("extracted 1 file(s)")
            return GOOD
        with open_printer() as print_line:
            done = ops.extract(
                source,
                output,
                paths,
                force=force,
                skip_unsafe_links=skip_unsafe_links,
                max_entries=max_entries,
                on_entry=_entry_printer(print_line, warn, as_json=as_json, verbose=verbose),
                zero_length_section_as_eof=zero_is_end,
                progress=progress,
            )
            for line in render_result(done):
                warn(line)
    return GOOD if partial or not done.missing + done.missing_shards else BAD


def _entry_printer(
    print_line: Printer, warn: Printer, *, as_json: bool, verbose: bool
) -> Callable[[ops.ExtractedEntry], None]:
    """Return what prints files and links that are extracted: all as JSON or with ``verbose``, else those left out."""
    from ipld_car._cli.render.extract import render_entry

    def on_entry(entry: ops.ExtractedEntry) -> None:
        if as_json:
            print_line(render_entry(entry, as_json=True))
        elif verbose or entry.missing or entry.unsafe_target is not None:
            warn(render_entry(entry, as_json=False))

    return on_entry


def _print_file(
    source: ops.Source, paths: tuple[str, ...], *, zero_is_end: bool, progress: ops.Progress | None
) -> None:
    """Write one file of an archive to standard output."""
    from ipld_car import ops
    from ipld_car.ops.output import open_output

    if len(paths) > 1:
        raise click.UsageError("standard output takes one PATH, that of a file")
    with open_output(target_of(STANDARD)) as stream:
        for piece in ops.cat(source, *paths, zero_length_section_as_eof=zero_is_end, progress=progress):
            stream.write(piece)


UNIXFS: Final[list[click.Command]] = [create, extract]
