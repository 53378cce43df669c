"""The verbs that make archives out of archives."""

from __future__ import annotations

from typing import Any, Final

import click

from ipld_car import cids
from ipld_car._cli.options import cid_value, json_option, read_once, selector_value, size_value, version_option
from ipld_car.errors import CarError


@click.command("get-dag")
@click.argument("arguments", nargs=-1, required=True, metavar="FILE [CID] [OUTPUT]")
@click.option("-s", "--selector", callback=selector_value, help="Only what this selector explores, in DAG-JSON.")
@click.option("--strict", is_flag=True, help="Fail if a block below CID is missing.")
@version_option(2)
@json_option
def get_dag(arguments: tuple[str, ...], selector: Any, strict: bool, version: int, as_json: bool) -> None:
    """Write what one block reaches as an archive.

    OUTPUT has CID as root, and the blocks of FILE that it reaches; without CID, those that the one root of FILE
    reaches. They are written depth first, each once. Blocks that are missing are told, and left out, and blocks of
    a codec whose links are not known here are told. With --selector only those that it comes to, see
    https://ipld.io/specs/selectors/:

    \b
      ipld-car get-dag -s '{"f":{"f>":{"a":{"a":{">":{".":{}}}}}}}' big.car CID part.car
    """
    from collections import Counter

    from ipld_car._cli.files import not_over
    from ipld_car._cli.progress import progress
    from ipld_car._cli.render.printer import lines_to
    from ipld_car._graph.walk import KNOWN_CODECS
    from ipld_car.ops.blocks import open_blocks, roots_for
    from ipld_car.ops.codec_names import by_name, not_followed
    from ipld_car.ops.output import writing_archive
    from ipld_car.ops.rewrite import dag_of

    file, root, output = _dag_arguments(list(arguments))
    not_over(output, file)
    taken = output == "-" or not as_json
    with open_blocks(file) as blocks, lines_to("-", standard_is_taken=taken) as note, progress("writing") as bar:
        (root,) = [root] if root else roots_for(blocks, single=True)
        missing: list[bytes] = []
        unknown: Counter[int] = Counter()
        with writing_archive(output, [root], version) as out:
            for cid, data in dag_of(blocks, root, selector, None if strict else missing.append):
                out.append(cid, data)
                bar.advance(len(data))
                codec = cids.codec_of(cid)
                if codec not in KNOWN_CODECS:
                    unknown[codec] += 1
        for text in map(cids.to_text, missing):
            note({"cid": text, "missing": True} if as_json else f"block not found: {text} (skipping...)")
        if as_json:
            note({"root": cids.to_text(root), "blocks": out.blocks, "not_followed": by_name(unknown)})
        elif unknown:
            note(f"not followed: {not_followed(unknown)}")


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
def filter_verb(
    file: str, output: str, cid_file: str, inverse: bool, append: bool, version: int, as_json: bool
) -> None:
    """Write only the blocks with given CIDs.

    The blocks of FILE are verified, and go to OUTPUT in their order, each once. Roots that are left out are not
    in its header either.
    """
    from ipld_car._cli.files import not_over, reading
    from ipld_car._cli.progress import progress
    from ipld_car._cli.render.printer import lines_to
    from ipld_car.ops import rewrite

    if [cid_file, file, output if append else ""].count("-") > 1:
        raise click.UsageError("standard input has either an archive or the CIDs: --cid-file names a file of them")
    if append and version != 2:
        raise click.UsageError("expected to append to a CARv2, found --version 1")
    not_over(output, cid_file, *([] if append else [file]))
    with reading(cid_file) as lines:
        wanted = rewrite.read_cids(lines)
    with lines_to("-", standard_is_taken=output == "-") as tell, progress("filtering") as bar:
        if not as_json:
            tell(f"filtering {'out' if inverse else 'to'} {len(wanted)} cids")
        if append:
            roots, count = rewrite.append_filtered(file, output, wanted, inverse=inverse, progress=bar)
        else:
            roots, count = rewrite.copy_filtered(file, output, wanted, inverse=inverse, version=version, progress=bar)
        if as_json:
            tell({"roots": [cids.to_text(root) for root in roots], "blocks": count})
    if not roots and not append and not as_json:
        click.echo("warning: no roots defined after filtering", err=True)


_sources_argument = click.argument("sources", nargs=-1, required=True, metavar="FILE...")
_output_option = click.option("-o", "--output", "-f", "output", default="-", help="Write here instead of stdout.")


@click.command()
@_sources_argument
@_output_option
@version_option(1)
def concat(sources: tuple[str, ...], output: str, version: int) -> None:
    """Write archives one after the other.

    All blocks of all FILEs, duplicates too, and the roots of the first. Blocks are verified.
    """
    from ipld_car._cli.files import not_over
    from ipld_car._cli.progress import progress
    from ipld_car.ops.rewrite import join

    read_once(*sources)
    not_over(output, *sources)
    with progress("joining") as bar:
        join(list(sources), output, merge=False, version=version, progress=bar)


@click.command()
@_sources_argument
@_output_option
@version_option(2)
def merge(sources: tuple[str, ...], output: str, version: int) -> None:
    """Write archives into one, each block once.

    It has the roots of all FILEs. Blocks are verified, and keep their order. It also joins the parts that
    "split" makes.
    """
    from ipld_car._cli.progress import progress
    from ipld_car.ops.rewrite import join

    read_once(*sources)
    with progress("joining") as bar:
        join(list(sources), output, merge=True, version=version, progress=bar)


@click.command()
@click.argument("file")
@click.argument("prefix", required=False)
@click.option("--size", callback=size_value, required=True, help="Bytes of a part at most, such as 100MB or 2GiB.")
@json_option
def split(file: str, prefix: str | None, size: int, as_json: bool) -> None:
    """Cut an archive into smaller ones.

    FILE becomes PREFIX0000.car, PREFIX0001.car and so on, of at most SIZE each. Each is a CARv1 with the roots
    of FILE; "merge" joins them. PREFIX is by default the name of FILE without ".car", and "-". No part is
    written over a file that is there.
    """
    from ipld_car._cli.progress import progress
    from ipld_car._cli.render.printer import lines_to
    from ipld_car.ops import rewrite

    if prefix is None:
        if file == "-":
            raise click.UsageError("expected a PREFIX for the parts of what standard input gives")
        prefix = file.removesuffix(".car") + "-"
    with lines_to("-") as tell, progress("splitting") as bar:
        for name, blocks, written in rewrite.split(file, prefix, size, bar):
            found = {"path": str(name), "blocks": blocks, "size": written}
            tell(found if as_json else f"{name}: {blocks} blocks, {written} bytes")


@click.command("put-block")
@click.argument("file")
@click.option("-c", "--codec", type=click.Choice(["raw", "dag-pb", "dag-cbor", "dag-json"]), help="By default raw.")
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
    from ipld_car._cli.render.printer import lines_to
    from ipld_car.ops import put_block as put

    if codec and expected:
        raise click.UsageError("expected --codec or --cid, found both: a CID has a codec")
    cid, data = put.read_block(codec or "raw", expected)
    added = put.put(file, cid, data, version=version, set_root=set_root)
    with lines_to("-", standard_is_taken=file == "-") as tell:
        text = cids.to_text(cid)
        tell({"cid": text, "size": len(data), "added": added} if as_json else text)


WRITING: Final[list[Any]] = [put_block, get_dag, filter_verb, concat, merge, split]
