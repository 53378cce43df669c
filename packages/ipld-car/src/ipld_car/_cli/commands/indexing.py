"""The commands around indexes, and between CARv1 and CARv2."""

from __future__ import annotations

from typing import Final

import click

from ipld_car import cids
from ipld_car._car.index import INDEX_SORTED, MULTIHASH_INDEX_SORTED, IndexEntry
from ipld_car._cli.options import (
    archive_argument,
    json_option,
    output_argument,
    source_of,
    target_of,
    version_option,
    zero_option,
)
from ipld_car.errors import CarError

CODECS: Final = {
    "car-multihash-index-sorted": MULTIHASH_INDEX_SORTED,
    "car-index-sorted": INDEX_SORTED,
    "none": None,
}

_codec_option = click.option(
    "-c",
    "--codec",
    type=click.Choice(list(CODECS)),
    default="car-multihash-index-sorted",
    show_default=True,
    help="Which index.",
)
_files_argument = click.argument("files", nargs=-1, required=True, metavar="FILE [OUTPUT]")


def _convert(file: str, output: str, version: int, codec: str, zero_is_end: bool) -> None:
    from ipld_car import ops
    from ipld_car.terminal import show_progress

    with show_progress() as progress:
        ops.convert(
            source_of(file),
            target_of(output),
            version=version,
            index_codec=CODECS[codec],
            zero_length_section_as_eof=zero_is_end,
            progress=progress,
        )


def _one_or_two(files: tuple[str, ...], first: str) -> tuple[str, str]:
    if not 1 <= len(files) <= 2:
        raise click.UsageError(f"expected {first} and at most one OUTPUT, found {len(files)} arguments")
    return files[0], files[1] if len(files) == 2 else "-"


@click.command()
@_files_argument
@_codec_option
@version_option(2)
@zero_option()
def index(files: tuple[str, ...], codec: str, version: int, zero_is_end: bool) -> None:
    """Write FILE with an index, or an index alone.

    With an index it is a CARv2; "index create FILE" writes the index alone. The blocks are verified, and stay
    as they are, byte for byte. --version 1 writes them without index.

    \b
      ipld-car index era5.car era5-indexed.car
      ipld-car index create era5.car era5.idx
    """
    from ipld_car import ops
    from ipld_car.terminal import show_progress

    if files[0] == "create" and len(files) > 1:
        number = CODECS[codec]
        if number is None:
            raise click.UsageError("an index alone needs a codec")
        file, output = _one_or_two(files[1:], "one FILE")
        with show_progress() as progress:
            ops.create_index(
                source_of(file),
                target_of(output),
                codec=number,
                zero_length_section_as_eof=zero_is_end,
                progress=progress,
            )
        return
    file, output = _one_or_two(files, "one FILE")
    if version == 1 and codec not in ("none", "car-multihash-index-sorted"):
        raise click.UsageError("a CARv1 has no index")
    _convert(file, output, version, codec, zero_is_end)


@click.command("detach-index")
@_files_argument
@json_option
def detach_index(files: tuple[str, ...], as_json: bool) -> None:
    """Write the index of a CARv2 alone, or list one.

    "detach-index FILE" writes the index to OUTPUT; "detach-index list INDEX" prints the entries of one that
    stands alone, by default that of standard input. An entry is the multihash, in hexadecimal, and the offset
    of the section from the start of the CARv1.
    """
    from ipld_car import ops
    from ipld_car.terminal import open_printer

    if files[0] == "list" and len(files) <= 2:
        with open_printer() as print_line:
            for entry in ops.read_index(source_of(files[1] if len(files) == 2 else "-")):
                text = _multihash_text(entry)
                print_line({"multihash": text, "offset": entry.offset} if as_json else f"{text} {entry.offset}")
        return
    file, output = _one_or_two(files, "one FILE")
    ops.detach_index(source_of(file), target_of(output))


def _multihash_text(entry: IndexEntry) -> str:
    """Return what go-car prints of an entry: the multihash in hexadecimal, or the digest without a hash function."""
    if entry.hash_code is None:
        return entry.digest.hex()
    try:
        return cids.multihash_of(cids.make(cids.RAW, entry.digest, entry.hash_code)).hex()
    except (CarError, ValueError):  # a hash code that no CID has
        return entry.digest.hex()


@click.command()
@archive_argument
@output_argument
@_codec_option
@zero_option()
def wrap(file: str, output: str, codec: str, zero_is_end: bool) -> None:
    """Write a CARv1 as a CARv2 with an index.

    The blocks of FILE are verified, and its bytes stay as they are within OUTPUT. A CARv2 gets a new index.
    """
    _convert(file, output, 2, codec, zero_is_end)


@click.command()
@archive_argument
@output_argument
@zero_option()
def unwrap(file: str, output: str, zero_is_end: bool) -> None:
    """Write the CARv1 that is in a CARv2.

    The blocks of FILE are verified, and its bytes go to OUTPUT as they are.
    """
    _convert(file, output, 1, "none", zero_is_end)


INDEXING: Final[list[click.Command]] = [index, detach_index, wrap, unwrap]
