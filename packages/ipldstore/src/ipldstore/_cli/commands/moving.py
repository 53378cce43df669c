"""The commands that bring datasets from one form or place to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import click

from ipldstore._cli.options import Far, Opening, far_option, json_option, open_options, what_argument

if TYPE_CHECKING:
    from ipld_castore import Transferred

    from ipldstore._repository.sync import Synced

FORMS: Final = ("car", "zarr", "kerchunk")


@click.command("import")
@click.argument("source")
@click.argument("target")
@click.option("-m", "--message", help="Of the commit, where TARGET is a repository.")
@click.option("--overwrite", is_flag=True, help="Take the place of what TARGET has.")
@far_option("source")
@json_option
@open_options
def import_command(
    source: str, target: str, message: str | None, overwrite: bool, far_options: Any, as_json: bool, opening: Opening
) -> None:
    """Write netCDF, HDF5 or zarr as a dataset.

    SOURCE is a file or URL that xarray opens (netCDF), or a zarr hierarchy: a folder, a zip, a URL that ends in .zarr;
    or a repository of icechunk: its folder, or icechunk:s3://bucket/prefix@branch; or another dataset of ipldstore.
    Zarr is copied chunk by chunk as it is, beside what TARGET has; other files are written by to_zarr. Both go on
    where they were stopped, if TARGET is a path without options: what is done is noted in TARGET.copied. TARGET is
    anything that opens for writing, also with "#" and a group. Other data there are refused; with --overwrite, zarr
    takes the place of groups and arrays of the same path, and other files of all that is there. Prints the root.
    """
    from ipld_car.terminal import open_printer, show_progress

    from ipldstore._cli.work.apart import require_apart
    from ipldstore._cli.work.importing import import_source

    require_apart(source, target)
    with show_progress() as progress:
        root = import_source(Far(source, far_options), target, opening, message, progress, overwrite=overwrite)
    with open_printer() as print_line:
        print_line({"root": str(root)} if as_json else str(root))


@click.command()
@click.argument("source")
@click.argument("target")
@click.option("--as", "form", type=click.Choice(FORMS), help="The form; by default what the suffix of TARGET says.")
@click.option("--url", help="Of kerchunk: where readers find SOURCE, by default where it is; or a gateway.")
@click.option("--overwrite", is_flag=True, help="Take the place of a file, or of other groups and arrays of zarr.")
@far_option("target")
@json_option
@open_options
def export(
    source: str,
    target: str,
    form: str | None,
    url: str | None,
    overwrite: bool,
    far_options: Any,
    as_json: bool,
    opening: Opening,
) -> None:
    """Write a dataset as a CAR file, zarr, or for kerchunk.

    The suffix of TARGET says which: .car, .zarr (also a zip: .zip), .json. A CAR has the root and all blocks below it,
    each verified; "push" takes a repository with its history. For kerchunk the references lead into SOURCE where it is
    a CAR file, here or at a URL; into the original files of a dataset over such; else to the blocks behind the gateway
    that --url names. Readers need neither IPLD nor this package, and verify nothing.
    """
    from ipld_car.terminal import open_printer, show_progress

    from ipldstore._cli.work.apart import require_apart
    from ipldstore._cli.work.exporting import export_dataset

    require_apart(source, target)
    if form is None:
        suffix = target.rstrip("/").rpartition(".")[2].lower()
        form = {"car": "car", "zarr": "zarr", "zip": "zarr", "json": "kerchunk"}.get(suffix)
        if form is None:
            raise click.UsageError(f"expected a target that ends in .car, .zarr, .zip or .json, found {target!r}: --as")
    if target == "-" and form == "zarr":
        raise click.UsageError("expected the path or URL of a folder or zip for zarr, found '-', which is one stream")
    if url is not None and form != "kerchunk":
        raise click.UsageError("expected --url with references for kerchunk only")
    with show_progress() as progress:
        done = export_dataset(source, Far(target, far_options), form, url, opening, progress, overwrite=overwrite)
    with open_printer(to_stderr=target == "-") as print_line:
        if as_json:
            print_line(done)


@click.command()
@what_argument
@click.argument("target")
@click.option("--force", is_flag=True, help="Overwrite what is not in the past of what is pushed.")
@far_option("target")
@json_option
@open_options
def push(
    what: str, target: str, force: bool, far_options: dict[str, Any] | None, as_json: bool, opening: Opening
) -> None:
    """Send a dataset or a repository to TARGET.

    TARGET is a CAR file, a folder or a bucket, which is made where it is absent. Only the blocks that it lacks are
    sent. A repository goes with its history and all names; the version of one that is named goes alone, as a dataset.
    """
    from ipldstore._cli.work.apart import require_apart
    from ipldstore._cli.work.syncing import push_dataset

    require_apart(what, target)
    _print_sent(push_dataset(what, target, opening, far_options, force=force), as_json=as_json)


@click.command()
@what_argument
@click.argument("source")
@click.option("--force", is_flag=True, help="Overwrite what is not in the past of SOURCE.")
@far_option("source")
@json_option
@open_options
def pull(
    what: str, source: str, force: bool, far_options: dict[str, Any] | None, as_json: bool, opening: Opening
) -> None:
    """Get what SOURCE has into WHAT.

    Of a repository all commits come, each checked, and its names move forward; WHAT is made where it is absent. Of
    anything else WHAT gets the root and the blocks that it lacks.
    """
    from ipldstore._cli.work.apart import require_apart
    from ipldstore._cli.work.syncing import pull_dataset

    require_apart(what, source)
    _print_sent(pull_dataset(what, source, opening, far_options, force=force), as_json=as_json)


def _print_sent(done: Transferred | Synced, *, as_json: bool) -> None:
    from ipld_car.terminal import open_printer, printable

    overwritten = {name: str(cid) for name, cid in getattr(done, "overwritten", {}).items()}
    with open_printer() as print_line:
        if as_json:
            print_line({"blocks": done.blocks, "bytes": done.bytes, "overwritten": overwritten})
            return
        print_line(f"{done.blocks:,} blocks ({done.bytes:,} bytes)")
        for name, cid in overwritten.items():
            print_line(f"overwritten: {printable(name)} {cid}")


MOVING: Final[tuple[click.Command, ...]] = (import_command, export, push, pull)
