"""The verbs around indexes, and between CARv1 and CARv2."""

from __future__ import annotations

from typing import Any, Final

import click

from ipld_car._cli.options import archive_argument, json_option, output_argument, version_option
from ipld_car.ops.indexes import CODECS

_codec_option = click.option(
    "-c",
    "--codec",
    type=click.Choice(list(CODECS)),
    default="car-multihash-index-sorted",
    show_default=True,
    help="Which index.",
)
_files_argument = click.argument("files", nargs=-1, required=True, metavar="FILE [OUTPUT]")


def _rewrite(file: str, output: str, version: int, codec: str) -> None:
    from ipld_car._cli.progress import progress
    from ipld_car.ops.indexes import rewrite

    with progress("indexing") as bar:
        rewrite(file, output, version=version, codec=CODECS[codec], progress=bar)


def _one_or_two(files: tuple[str, ...], first: str) -> tuple[str, str]:
    if not 1 <= len(files) <= 2:
        raise click.UsageError(f"expected {first} and at most one OUTPUT, found {len(files)} arguments")
    return files[0], files[1] if len(files) == 2 else "-"


@click.command()
@_files_argument
@_codec_option
@version_option(2)
def index(files: tuple[str, ...], codec: str, version: int) -> None:
    """Write FILE with an index, or an index alone.

    With an index it is a CARv2; "index create FILE" writes the index alone. The blocks are verified, and stay
    as they are, byte for byte. --version 1 writes them without index.

    \b
      ipld-car index era5.car era5-indexed.car
      ipld-car index create era5.car era5.idx
    """
    from ipld_car._cli.files import not_over
    from ipld_car._cli.progress import progress
    from ipld_car.ops.indexes import create_index

    if files[0] == "create" and len(files) > 1:
        number = CODECS[codec]
        if number is None:
            raise click.UsageError("an index alone needs a codec")
        file, output = _one_or_two(files[1:], "one FILE")
        not_over(output, file)
        with progress("indexing") as bar:
            create_index(file, output, codec=number, progress=bar)
        return
    file, output = _one_or_two(files, "one FILE")
    if version == 1 and codec not in ("none", "car-multihash-index-sorted"):
        raise click.UsageError("a CARv1 has no index")
    _rewrite(file, output, version, codec)


@click.command("detach-index")
@_files_argument
@json_option
def detach_index(files: tuple[str, ...], as_json: bool) -> None:
    """Write the index of a CARv2 alone, or list one.

    "detach-index FILE" writes the index to OUTPUT; "detach-index list INDEX" prints the entries of one that
    stands alone, by default that of standard input. An entry is the multihash, in hexadecimal, and the offset
    of the section from the start of the CARv1.
    """
    from ipld_car._cli.files import not_over
    from ipld_car._cli.render.printer import lines_to
    from ipld_car.ops import indexes

    if files[0] == "list" and len(files) <= 2:
        with lines_to("-") as tell:
            for entry in indexes.entries_of(files[1] if len(files) == 2 else "-"):
                text = indexes.multihash_text(entry)
                tell({"multihash": text, "offset": entry.offset} if as_json else f"{text} {entry.offset}")
        return
    file, output = _one_or_two(files, "one FILE")
    not_over(output, file)
    indexes.detach_index(file, output)


@click.command()
@archive_argument
@output_argument
@_codec_option
def wrap(file: str, output: str, codec: str) -> None:
    """Write a CARv1 as a CARv2 with an index.

    The blocks of FILE are verified, and its bytes stay as they are within OUTPUT. A CARv2 gets a new index.
    """
    _rewrite(file, output, 2, codec)


@click.command()
@archive_argument
@output_argument
def unwrap(file: str, output: str) -> None:
    """Write the CARv1 that is in a CARv2.

    The blocks of FILE are verified, and its bytes go to OUTPUT as they are.
    """
    _rewrite(file, output, 1, "none")


INDEXING: Final[list[Any]] = [index, detach_index, wrap, unwrap]
