"""The verbs that make archives out of files, and files out of archives."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from ipld_car import cids
from ipld_car._cli.options import chunker_value, json_option, max_entries_option, read_once, version_option


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

    (with -w, unless there is --no-wrap): raw leaves of 1 MiB, so that the fewest blocks carry the data. What
    Kubo alone would take, is --chunker=size-262144 --max-file-links=174. Directories whose names and CIDs take
    more than 256 KiB are sharded, as Kubo does it. Symbolic links are kept as links. Neither modes nor times
    are kept: the same contents have the same CID.

    Blocks are written depth first from the root, each once: with --version 1 the very bytes of "ipfs dag
    export".
    """
    from ipld_car._cli.files import not_over, stat_of_output
    from ipld_car._cli.progress import progress
    from ipld_car._cli.render.printer import lines_to, printable
    from ipld_car.ops.create import Added, Options, planned
    from ipld_car.ops.output import writing_archive

    if no_wrap and len(sources) > 1:
        raise click.UsageError("--no-wrap takes one SOURCE: several need a directory that names them")
    read_once(*sources)
    not_over(output, *sources)
    options = Options(chunker, max_file_links, not no_wrap, hidden, stdin_name, stat_of_output(output))

    with lines_to("-", standard_is_taken=output == "-") as tell:

        def told(added: Added) -> None:
            text = cids.to_text(added.tree.cid)
            if as_json:
                tell({"path": added.path, "cid": text, "size": added.tree.file_size})
            elif verbose:
                tell(f"{text} {printable(added.path)}")

        with progress("hashing") as bar, planned(list(sources), options, told, bar) as plan:
            bar.close()
            with progress("writing") as bar2, writing_archive(output, [plan.root], version) as out:
                plan.write(out.append, bar2)
            text = cids.to_text(plan.root)
            tell({"root": text, "blocks": out.blocks} if as_json else text)


@click.command()
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-f", "--file", "-i", "--input", "file", required=True, help='The archive; "-" for standard input.')
@click.option("-o", "--output", default=".", help='Write into this folder; "-" writes one file to stdout.')
@click.option("--force", is_flag=True, help="Replace files that are there already.")
@click.option("--partial", is_flag=True, help="It is no failure if blocks of some files are missing.")
@max_entries_option
@click.option("-v", "--verbose", is_flag=True, help="Print the path of each file and link.")
@json_option
def extract(
    paths: tuple[str, ...],
    file: str,
    output: str,
    force: bool,
    partial: bool,
    max_entries: int,
    verbose: bool,
    as_json: bool,
) -> int:
    """Write the files and folders in an archive.

    It must hold UnixFS data. PATHs are names joined by "/", below one of the roots at least, or begin with a
    CID; without, all that is below the roots is written. Where two roots have other things at the same path, a
    CID says which is meant. A root that is a file itself gets its CID as name. An archive without roots begins
    with what no block links.

    Every block is verified. Nothing is written if a block is bad, if a name or a link would lead out of the
    folder, or if a file is there already (--force replaces files). Files of which blocks are missing are left
    out and told; then the exit code is 1, unless there is --partial.
    """
    from ipld_car._cli.files import writing
    from ipld_car._cli.progress import progress
    from ipld_car._cli.render.printer import lines_to, printable
    from ipld_car.ops.blocks import open_blocks, roots_for, split_cid
    from ipld_car.ops.cat import pieces
    from ipld_car.ops.extract import Extracted, Extraction

    with open_blocks(file) as blocks, progress("extracting") as bar, lines_to("-", standard_is_taken=True) as note:
        if output == "-":
            if len(paths) > 1:
                raise click.UsageError("standard output takes one PATH, that of a file")
            start, inside = split_cid(paths[0] if paths else "")
            (root,) = [start] if start else roots_for(blocks, single=True)
            with writing("-") as stream:
                for piece in pieces(blocks, root, inside):
                    stream.write(piece)
                    bar.advance(len(piece))
            note("extracted 1 file(s)")
            return 0
        with lines_to("-") as tell:

            def told(each: Extracted) -> None:
                if as_json:
                    found = {"path": each.path, "cid": cids.to_text(each.cid)}
                    tell({**found, "missing": True} if each.missing else {**found, "size": each.size})
                elif each.missing:
                    note(f"data for entry not found: {printable(each.path)} (skipping...)")
                elif verbose:
                    note(printable(each.path))

            run = Extraction(blocks, told, bar, max_entries)
            run.to_folder(roots_for(blocks), list(paths), Path(output), force=force)
            result = run.result
            if result.unknown:
                note(f"data for entry not found for {result.unknown} unknown sharded entries (skipped...)")
            skipped = f", skipped {result.skipped}" if result.skipped else ""
            note(f"extracted {result.files} file(s){skipped}")
    return 0 if partial or not result.skipped + result.unknown else 1


UNIXFS: Final[list[Any]] = [create, extract]
