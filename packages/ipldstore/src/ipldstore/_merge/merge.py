"""The three-way merge of roots (design, section 9)."""

from __future__ import annotations

from collections.abc import Sequence

from ipld_castore import ContentAddressableStore

from ipldstore._format.limits import LIMITS, Limits
from ipldstore._format.nodes import NodeStore
from ipldstore._tree.directory import Frozen
from ipldstore._tree.tree import Tree

from .conflicts import Merged, Resolve
from .decisions import Decisions
from .nodes.consolidate import consolidated_anew
from .rules.apply import Result
from .rules.dimensions import apply_dimension_rules
from .rules.plan import Plan
from .rules.sides import Sides, document_reader, nodes_of


def merge_roots(
    castore: ContentAddressableStore,
    bases: Sequence[bytes],
    ours: bytes,
    theirs: bytes,
    resolve: Resolve | None = None,
    *,
    limits: Limits = LIMITS,
) -> Merged:
    """Merge two roots that go back to common ones. The result depends on the roots alone, and not on their order.

    It puts the nodes that are new, and none where conflicts are left. The caller flushes the block store. Its cost is
    that of the difference: equal subtrees are skipped by CID, and no chunk is read.

    :param castore: the block store that has the nodes of all roots
    :param bases: binary CIDs of the roots that both sides go back to; where several do not agree on a part, two
        different sides of that part conflict
    :param ours: binary CID of the root of one side
    :param theirs: binary CID of the root of the other side
    :param resolve: what to do with conflicts
    :param limits: the numbers of the format
    :raises ValueError: if ``bases`` is empty, or ``resolve`` gives an answer that is no side
    :raises IPLDStoreError: if a node is missing, damaged or breaks a bound of the format
    """
    different = sorted(set(bases))
    if not different:
        raise ValueError("expected the roots that both sides go back to, found none")
    if ours == theirs or different == [theirs]:
        return Merged(ours, (), ())
    if different == [ours]:
        return Merged(theirs, (), ())
    nodes = nodes_of(castore)
    reader = document_reader(castore, nodes)
    sides = Sides(reader, [root_of(nodes, base) for base in different], root_of(nodes, ours), root_of(nodes, theirs))
    decisions = Decisions(resolve)
    plan = Plan(sides, decisions)
    apply_dimension_rules(plan)
    left = decisions.open()
    if left:
        return Merged(None, left, decisions.decided())
    result = Result(castore, nodes, ours, limits)
    result.apply(plan)
    result.put_documents(consolidated_anew(result.tree.snapshot(), reader, plan.changed_paths))
    return Merged(result.tree.freeze(), (), decisions.decided())


def root_of(nodes: NodeStore, root: bytes) -> Frozen:
    """Return the root directory of a root.

    :raises IPLDStoreError: if it cannot be read
    """
    top = Tree(nodes, root).top
    assert isinstance(top, Frozen)  # noqa: S101  # nothing has changed it
    return top
