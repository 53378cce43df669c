"""The command `ipldstore`: its group of commands, and what its errors are."""

from __future__ import annotations

import click
from ipld_car.terminal import BAD, USAGE, CommandGroup, run

from .commands.checking import CHECKING
from .commands.history import HISTORY
from .commands.looking import LOOKING
from .commands.moving import MOVING
from .commands.names import NAMES
from .commands.network import NETWORK
from .commands.serving import SERVING
from .commands.upkeep import UPKEEP
from .wording import WORDS


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(None, "-v", "--version", package_name="ipldstore")
def cli() -> None:
    """Work with zarr datasets on IPLD: look at them, check, copy, share and serve them.

    WHAT is a CAR file, a folder, or a URL (s3://, https://.../x.car, ipfs://CID, ipns://name). It may be followed by @
    and a branch, tag or commit, and by # and a group: air.car@v1#ocean.

    Exit codes: 0 all is good; 1 the dataset is damaged, or does not have what was asked for; 2 wrong usage, or a
    file that cannot be read or written.
    """


for command in (*LOOKING, *CHECKING, *HISTORY, *NAMES, *MOVING, *UPKEEP, *NETWORK, *SERVING):
    cli.add_command(command)


def main() -> int:
    """Run the command line; return the exit code."""
    return run(cli, "ipldstore", _code_of, warns=UserWarning, words=WORDS)


def _code_of(error: Exception) -> int | None:
    from ipld_car import CarError
    from ipld_castore import BackendUnavailableError, CAStoreError

    from ipldstore.errors import IPLDStoreError, RepositoryNotFoundError

    cause = error.__cause__
    if isinstance(error, (BackendUnavailableError, RepositoryNotFoundError)) and isinstance(cause, OSError):
        return USAGE if cause.filename or isinstance(cause, BlockingIOError) else BAD  # a file, not a server
    if isinstance(error, (IPLDStoreError, CAStoreError, CarError)):
        return BAD
    if isinstance(error, (ValueError, ImportError)):  # an extra is not installed
        return USAGE
    return None
