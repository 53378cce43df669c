"""What the tests of the command line share."""

from ipld_car import cids, unixfs
from ipld_car.unixfs import PBLink


class Tree:
    """Blocks of UnixFS that say what they are told."""

    def __init__(self) -> None:
        self.blocks: dict[bytes, bytes] = {}

    def file(self, data: bytes, name: str = "") -> PBLink:
        tree = unixfs.build(data, self.blocks.__setitem__)
        return PBLink(tree, name, len(data))

    def link(self, target: str, name: str = "") -> PBLink:
        return PBLink(unixfs.build_symlink(target, self.blocks.__setitem__).cid, name, 0)

    def folder(self, *links: PBLink, name: str = "") -> PBLink:
        """Return a directory whose names are not checked."""
        from ipld_car import dagpb

        from .car_samples import cid

        block = dagpb.encode(links, b"\x08\x01")
        made = cid(block, "dag-pb")
        self.blocks[made] = block
        return PBLink(made, name, 0)

    def car(self, *roots: PBLink, without: tuple[bytes, ...] = ()) -> bytes:
        from .car_samples import car_v1, section

        kept = [section(data, name) for name, data in self.blocks.items() if name not in without]
        return car_v1(*kept, roots=[root.cid for root in roots])


def text(cid: bytes) -> str:
    return cids.to_text(cid)
