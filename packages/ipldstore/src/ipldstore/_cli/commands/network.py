"""The commands about IPFS: pins and names."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import Any, Final

import click

from ipldstore._cli.options import Opening, json_option, open_options, what_argument

node_option = click.option(
    "--node", metavar="URL", help="The RPC address of the node; by default that of this machine."
)


@click.command()
@what_argument
@node_option
@click.option("--service", metavar="URL", help="Ask a pinning service; its token is in $IPLDSTORE_PINNING_TOKEN.")
@click.option("--name", default="", help="A name for the pin at the service.")
@click.option("--origin", "origins", multiple=True, metavar="MULTIADDR", help="A peer that has the blocks. Repeatable.")
@click.option("--no-wait", is_flag=True, help="End once the service has the request, before it has the blocks.")
@click.option("--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="The longest wait for the service.")
@json_option
@open_options
def pin(what: str, node: str | None, service: str | None, as_json: bool, opening: Opening, **request: Any) -> None:
    """Pin a dataset on an IPFS node, or at a pinning service.

    A node is sent the blocks that it lacks, and pins the root. A service fetches the blocks over the IPFS network, so
    a node must have them; of a repository without a version it keeps the whole history. Prints the root; of a service
    also the status and the name of the request.
    """
    from ipld_car.terminal import open_printer

    if service is not None:
        if node is not None:
            raise click.UsageError("expected --node or --service, found both")
        line = _pin_at_service(what, service, opening, **request)
        with open_printer() as print_line:
            print_line(line if as_json else " ".join((line["root"], line["status"], line["request_id"])))
        return
    if any(request.values()):
        raise click.UsageError("expected --name, --origin, --no-wait and --timeout with --service, found no --service")
    from ipldstore._cli.work.nodes import push_to_node

    with opening.store(what) as store, open_printer() as print_line:
        root = push_to_node(store, node)[0]
        print_line({"root": str(root)} if as_json else str(root))


def _pin_at_service(what: str, url: str, opening: Opening, *, no_wait: bool, **request: Any) -> dict[str, Any]:
    """Ask a service to pin a dataset, or a whole repository; return what is printed of the request."""
    from ipld_castore import PinningService

    from ipldstore._io.pinning import pin as pin_at

    token = os.environ.get(_TOKEN, "")
    if not token:
        raise click.UsageError(f"expected the token of the pinning service in ${_TOKEN}, found none")
    with ExitStack() as stack:
        service = stack.enter_context(PinningService(url, token))
        if opening.given.keys() <= {"storage_options"}:
            status = pin_at(what, service, wait=not no_wait, **opening.given, **request)
        else:
            status = pin_at(stack.enter_context(opening.store(what)), service, wait=not no_wait, **request)
    return {
        "root": str(status.cid),
        "status": status.status,
        "request_id": status.request_id,
        "delegates": list(status.delegates),
    }


@click.command()
@what_argument
@click.argument("name")
@node_option
@json_option
@open_options
def publish(what: str, name: str, node: str | None, as_json: bool, opening: Opening) -> None:
    """Pin a dataset on an IPFS node and point an IPNS name to it.

    NAME is that of a key on the node, which is made if there is none. Prints the name as others know it.
    """
    from ipld_car.terminal import open_printer

    from ipldstore._cli.work.nodes import push_to_node

    with opening.store(what) as store, open_printer() as print_line:
        root, castore = push_to_node(store, node)
        public = castore.publish(name, root)
        print_line({"name": public, "root": str(root)} if as_json else public)


@click.command()
@what_argument
@click.option("--node", metavar="URL", help="Ask this node; by default that of this machine if one answers.")
@click.option("--gateway", "gateways", multiple=True, metavar="URL", help="Ask this gateway, and no node. Repeatable.")
@json_option
@open_options
def resolve(what: str, node: str | None, gateways: tuple[str, ...], as_json: bool, opening: Opening) -> None:
    """Print the CID that a name points to now.

    WHAT is an IPNS name (k51...), also as ipns://NAME, or a domain with a DNSLink. Records of IPNS keys are checked; a
    name is still not verified as a block is, since an answer may hold back a newer record. Of anything else that
    opens, the CID of its root is printed: of a file, a folder, a bucket, also with a version.
    """
    from ipld_car.terminal import open_printer, printable

    from ipldstore._cli.work.resolving import resolve_address

    asked = {"node": False, "gateways": gateways} if gateways else {"node": node} if node else {}
    found = resolve_address(what, opening, asked)
    with open_printer() as print_line:
        print_line(found._asdict() if as_json else printable(found.resolved))


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> int:
    """Print the script that completes words in a shell.

    For bash: eval "$(ipldstore completion bash)", in ~/.bashrc; for zsh the same in ~/.zshrc; for fish:
    ipldstore completion fish > ~/.config/fish/completions/ipldstore.fish
    """
    from click.shell_completion import shell_complete

    return shell_complete(
        click.get_current_context().find_root().command, {}, "ipldstore", _VARIABLE, f"{shell}_source"
    )


_TOKEN: Final = "IPLDSTORE_PINNING_TOKEN"  # noqa: S105  # the name of a variable
_VARIABLE: Final = "_IPLDSTORE_COMPLETE"

NETWORK: Final[tuple[click.Command, ...]] = (pin, publish, resolve, completion)
