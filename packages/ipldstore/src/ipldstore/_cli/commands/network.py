"""The commands about IPFS: pins and names."""

from __future__ import annotations

from typing import Any, Final

import click

from ipldstore._cli.options import Opening, json_option, open_options, what_argument

node_option = click.option(
    "--node", metavar="URL", help="The RPC address of the node; by default that of this machine."
)


@click.command()
@what_argument
@node_option
@json_option
@open_options
def pin(what: str, node: str | None, as_json: bool, opening: Opening) -> None:
    """Send a dataset to an IPFS node and pin its root there.

    Only the blocks that the node lacks are sent. Prints the root.
    """
    from ipld_car.terminal import open_printer

    from ipldstore._cli.work.nodes import push_to_node

    with opening.store(what) as store, open_printer() as print_line:
        root = push_to_node(store, node)[0]
        print_line({"root": str(root)} if as_json else str(root))


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
@click.argument("name")
@click.option("--node", metavar="URL", help="Ask this node; by default that of this machine if one answers.")
@click.option("--gateway", "gateways", multiple=True, metavar="URL", help="Ask this gateway, and no node. Repeatable.")
@json_option
def resolve(name: str, node: str | None, gateways: tuple[str, ...], as_json: bool) -> None:
    """Print the CID that a name points to now.

    NAME is an IPNS name (k51...), also as ipns://NAME, or a domain with a DNSLink. Records of IPNS keys are checked; a
    name is still not verified as a block is, since who answers may hold back a newer record.
    """
    from ipld_car.terminal import open_printer, printable
    from ipld_castore import resolve_name

    asked: Any = False if gateways else node
    bare = name.removeprefix("ipns://").strip("/")
    found = resolve_name(bare, node=asked, gateways=gateways or None)
    target = "/".join(("/ipfs", str(found.cid), *found.path))
    with open_printer() as print_line:
        print_line({"name": bare, "resolved": target, "steps": list(found.steps)} if as_json else printable(target))


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


_VARIABLE: Final = "_IPLDSTORE_COMPLETE"

NETWORK: Final[tuple[Any, ...]] = (pin, publish, resolve, completion)
