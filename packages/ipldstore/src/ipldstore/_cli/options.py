"""Arguments and options that several commands have: what is opened, and how."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

if TYPE_CHECKING:
    from ipldstore._address.castores import Mode
    from ipldstore._repository.repository import Repository
    from ipldstore._store.ipld_store import IPLDStore

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


PARTS: Final = frozenset({"branch", "tag", "commit", "as_of", "path"})
"""Options that name a part of what is at an address."""


class Opening(NamedTuple):
    """How a command opens what it is given: the arguments of :func:`ipldstore.open`."""

    given: dict[str, Any]

    def store(self, what: str, mode: Mode = "r") -> IPLDStore:
        """Open a dataset."""
        from ipldstore._io.open import open as open_store

        return open_store(what, mode, **self.given)

    def place(self) -> dict[str, Any]:
        """Return the options of the place as a whole, in all its versions and groups.

        :raises click.UsageError: if a version or a group is named
        """
        for name in self.given:
            if name in PARTS:
                option = name.replace("_", "-")
                raise click.UsageError(f"expected a dataset or repository as a whole, found --{option}, a part of it")
        return self.given

    def version(self, what: str, ref: str | None) -> NamedVersion:
        """Return which version of a repository is meant, and the repository that it is in.

        :param what: an address, with or without a version
        :param ref: a branch, tag or commit that is named otherwise
        :raises click.UsageError: if it is named in two ways
        """
        from ipldstore._address.grammar import parse

        address = parse(what)
        options = {name: self.given[name] for name in ("branch", "tag", "commit") if name in self.given}
        named = [each for each in (address.ref, ref, *options.values()) if each is not None]
        if len(named) > 1:
            raise click.UsageError(f"expected one version, found {', '.join(named)}")
        left = {name: value for name, value in self.given.items() if name not in (*options, "as_of")}
        whole = what if address.ref is None else what.rpartition("@")[0]
        return NamedVersion(whole, Opening(left), named[0] if named else None, self.given.get("as_of"))

    def repository(self, what: str, *, read_only: bool = True) -> Repository:
        """Open a repository.

        :raises click.UsageError: if a version or a group is named, which a whole repository does not have
        """
        from ipldstore._repository.repository import Repository

        return Repository.open(what, read_only=read_only, **self.place())


class Far(NamedTuple):
    """The other end of a command that has two."""

    place: str
    options: dict[str, Any] | None
    """Its options of storage."""


class NamedVersion(NamedTuple):
    """A version of a repository, as a command line names it."""

    what: str
    """The address of the repository."""
    opening: Opening
    ref: str | None
    as_of: str | None

    def ref_in(self, repository: Repository) -> str | None:
        """Return the version as one text; None where none is named."""
        if self.as_of is None:
            return self.ref
        return f"{self.ref or repository.default_branch}@{self.as_of}"


def storage_options_value(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, Any] | None:
    """Read ``k=v``: a value is JSON where it can be, else text. A key such as 1e5 is text."""
    import json

    found: dict[str, Any] = {}
    for item in value:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise click.BadParameter(f"expected NAME=VALUE, found {item!r}", ctx, param)
        try:
            read = json.loads(text)
        except ValueError:
            read = text
        found[name] = text if type(read) in (int, float) and str(read) != text else read
    return found or None


def age_value(ctx: click.Context, param: click.Parameter, value: str | None) -> timedelta | datetime | None:
    """Read an age such as ``12h`` or ``7d``, or an instant such as ``2026-05-01T00:00Z``."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhdw])", value.strip().lower())
    try:
        if found:
            return timedelta(seconds=float(found[1]) * _UNITS[found[2]])
        instant = datetime.fromisoformat(value)
    except (ValueError, OverflowError):
        instant = None
    if instant is None or instant.tzinfo is None:
        raise click.BadParameter(
            f"expected an age such as 30m, 12h, 7d or 4w, or a time with a zone such as 2026-05-01T00:00Z; "
            f"found {value!r}",
            ctx,
            param,
        )
    return instant


json_option = click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, for programs.")
what_argument = click.argument("what")


def moved_value(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, str] | None:
    """Return the new places of files by their old ones."""
    found = {}
    for text in value:
        old, sign, new = text.partition("=")
        if not (old and sign and new):
            raise click.BadParameter(f"expected OLD=NEW, found {text!r}", ctx, param)
        found[old] = new
    return found or None


storage_option = click.option(
    "--storage-option",
    "storage_options",
    multiple=True,
    metavar="NAME=VALUE",
    callback=storage_options_value,
    help="An option of the bucket, URL or node, such as region=eu-west-1 or node=false. Repeatable.",
)


def far_option(end: str) -> Decorator:
    """Return the option ``--target-option`` or ``--source-option``, of the other end of a command that has two."""
    return click.option(
        f"--{end}-option",
        "far_options",
        multiple=True,
        metavar="NAME=VALUE",
        callback=storage_options_value,
        help=f"As --storage-option, but of {end.upper()}. Repeatable.",
    )


_OPTIONS: Final = (
    click.option("--branch", help="The branch of a repository."),
    click.option("--tag", help="The tag of a repository."),
    click.option("--commit", help="The commit of a repository."),
    click.option("--as-of", metavar="TIME", help="The newest commit at that time, such as 2026-05-01T00:00Z."),
    click.option("--path", "group", help="The path of a group, which is taken for the whole."),
    click.option("--cache", metavar="FOLDER", help="Keep blocks that are far away here; by default $IPLDSTORE_CACHE."),
    click.option("--cache-bytes", type=click.IntRange(min=0), help="The most bytes in that folder."),
    click.option("--allow", multiple=True, metavar="PLACE", help="A place whose files a dataset may refer to."),
    click.option(
        "--moved",
        multiple=True,
        metavar="OLD=NEW",
        callback=moved_value,
        help="Where files are now that a dataset refers to at an old place.",
    ),
    click.option("--no-fsync", is_flag=True, help="Do not wait for the disk where something is written."),
    click.option(
        "--zero-length-section-as-eof", is_flag=True, help="The CAR file is padded with zeros; they are its end."
    ),
    storage_option,
)
_NAMES: Final = (
    *("branch", "tag", "commit", "as_of", "group", "cache", "cache_bytes"),
    *("allow", "moved", "no_fsync", "zero_length_section_as_eof", "storage_options"),
)


def open_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options of :func:`ipldstore.open` to a command, as one argument ``opening``."""

    @wraps(command)
    def with_opening(**arguments: Any) -> Any:
        values = {name: arguments.pop(name) for name in _NAMES}
        given = {name: value for name, value in values.items() if value}
        if given.pop("no_fsync", False):
            given["fsync"] = False
        if "group" in given:
            given["path"] = given.pop("group")
        return command(opening=Opening(given), **arguments)

    wrapped: Callable[..., Any] = with_opening
    for option in reversed(_OPTIONS):
        wrapped = option(wrapped)
    return wrapped
