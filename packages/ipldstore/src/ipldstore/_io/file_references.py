"""References for kerchunk into the files that the chunks of a dataset lie in."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ipld_car import cids, unixfs
from ipld_car.messages import Message, Term
from ipld_castore import ReferenceCAStore, ReferencingCAStore

from ipldstore._store.ipld_store import IPLDStore
from ipldstore.errors import store_errors

from .kerchunk import MAX_INLINE_BYTES, Reference, references_of

_Place = tuple[str, int, int]


def file_references(store: IPLDStore, *, max_inline_bytes: int = MAX_INLINE_BYTES) -> dict[str, Reference]:
    """Return references into the original files of a dataset, as kerchunk has them, for readers that know no IPLD.

    The dataset is one that :func:`ipldstore.reference` has made. A chunk is ``[file, offset, length]``, one over 1 MiB
    too, as its blocks follow each other in the file. Documents are their text. What lies in no file stands in the
    references itself. No other chunk is read. Readers of the references do not verify.

    :param store: the dataset, as :func:`ipldstore.open` opens it
    :param max_inline_bytes: the most bytes of chunks, all together, to have in the references
    :raises ValueError: if the dataset has no chunks in other files, or too many bytes lie in none
    :raises IPLDStoreError: if a node or a chunk that lies in no file cannot be read
    """
    castore = store.castore
    if not isinstance(castore, ReferencingCAStore):
        raise ValueError(  # noqa: TRY004  # a wrong value
            Message(
                "expected a dataset whose chunks lie in other files",
                Term("reference()", ", as reference() makes it"),
                f"; found {castore!r}",
                Term("car_references()", " (car_references() gives references into an archive)"),
            )
        )

    def reference(key: str, link: bytes) -> Reference | None:
        with store_errors(f"looking for the chunk {key!r}"):
            place = _place_of(castore.references, castore.get_raw, link)
        return None if place is None else list(place)

    return references_of(store._data, reference, max_inline_bytes)  # noqa: SLF001  # links of chunks that are not read


def _place_of(references: ReferenceCAStore, get: Callable[[bytes], bytes], link: bytes) -> _Place | None:
    """Return the range of a file that has the bytes of a chunk; None if there is none, or it is empty."""
    if cids.codec_of(link) == cids.RAW:
        return next((place for place in references.places_of(link) if place[2]), None)
    leaves = list(unixfs.raw_leaves(get, link))
    for name, start, _ in references.places_of(leaves[0].cid) if leaves else ():
        if _follow(references, leaves, name, start):
            return name, start, sum(leaf.file_size for leaf in leaves)
    return None


def _follow(references: ReferenceCAStore, leaves: list[unixfs.Tree], name: str, position: int) -> bool:
    """Return whether leaves follow each other in a file, from a position on."""
    for leaf in leaves:
        places: Iterator[_Place] = references.places_of(leaf.cid)
        if (name, position, leaf.file_size) not in places:
            return False
        position += leaf.file_size
    return True
