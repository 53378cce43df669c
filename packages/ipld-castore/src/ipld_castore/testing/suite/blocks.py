"""Tests of single blocks: put, get, look for, list, delete, and never take one for another."""
# ruff: noqa: S101  # assert is how pytest speaks

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from ipld_car import cids, hashes
from multiformats import CID

from ipld_castore._core.capabilities import SupportsDelete, SupportsList
from ipld_castore._core.store import ContentAddressableStore
from ipld_castore.errors import BlockCorruptError, BlockNotFoundError, HashRefusedError

from .harness import Harness

Damage = Callable[[CID, bytes | None], None]

DATA = bytes(range(256)) * 4

_DAG_JSON = 0x0129


def of_hash(code: int, data: bytes, size: int | None = None) -> CID:
    """Return the raw CID of bytes under a hash function, its digest cut to ``size`` bytes."""
    return cids.from_bytes(cids.make(cids.RAW, hashes.digest_of(code, data)[:size], code))


WEAK = [
    pytest.param(of_hash(hashes.MD5, DATA), id="md5"),
    pytest.param(of_hash(0x11, DATA), id="sha1"),
    pytest.param(cids.from_bytes(cids.make(cids.RAW, bytes(8), 0x22)), id="murmur3"),
    pytest.param(of_hash(cids.SHA2_256, DATA, 19), id="short digest"),
    pytest.param(cids.from_bytes(cids.make(cids.RAW, bytes(33))), id="long digest"),
    pytest.param(cids.from_bytes(cids.make(cids.RAW, bytes(129), cids.IDENTITY)), id="long identity"),
]


class BlockTests(Harness):
    """Tests of the verbs of single blocks."""

    def test_put_raw_gives_the_cid_and_get_raw_the_bytes(self, castore: ContentAddressableStore) -> None:
        """The CID has version 1 and the digest of the bytes, and prints in base32."""
        cid = castore.put_raw(DATA)
        assert cid == self.make_cid(DATA)
        assert str(cid) == cids.to_text(bytes(cid))
        assert castore.get_raw(cid) == DATA
        assert type(castore.get_block(cid)) is bytes

    def test_a_block_is_there_once_it_was_put(self, castore: ContentAddressableStore) -> None:
        """``in``, ``has_block`` and ``block_size`` agree with ``get_raw``."""
        cid = self.make_cid(DATA)
        assert cid not in castore
        assert not castore.has_block(cid)
        castore.put_raw(DATA)
        assert cid in castore
        assert castore.has_block(cid)
        assert castore.block_size(cid) == len(DATA)

    def test_cids_may_be_objects_text_or_bytes(self, castore: ContentAddressableStore) -> None:
        """A CID as object, text or bytes, in any base, names the same block."""
        cid = castore.put_raw(DATA)
        for form in (cid, str(cid), bytes(cid), CID.decode(bytes(cid)), CID("base58btc", 1, "raw", cid.digest)):
            assert form in castore
            assert castore.get_raw(form) == DATA
            assert castore.size(form) == len(DATA)

    def test_what_is_no_cid_is_an_error(self, castore: ContentAddressableStore) -> None:
        """A text that is no CID is a ValueError, and not an absent block."""
        for nonsense in ("", "bafynonsense", b"", b"\x01\x55\x12\x20short"):
            with pytest.raises(ValueError, match="expected"):
                _ = nonsense in castore
            with pytest.raises(ValueError, match="expected"):
                castore.get_raw(nonsense)

    def test_absent_blocks_are_not_found(self, castore: ContentAddressableStore) -> None:
        """The error names the CID and is a KeyError too."""
        castore.put_raw(b"another")
        cid = self.make_cid(DATA)
        for verb in (castore.get_raw, castore.get_block, castore.block_size, castore.size, castore.get):
            with pytest.raises(BlockNotFoundError, match=str(cid)) as caught:
                verb(cid)
            assert isinstance(caught.value, KeyError)

    def test_putting_again_changes_nothing(self, castore: ContentAddressableStore) -> None:
        """Putting a block again adds none."""
        cid = castore.put_raw(DATA)
        before = sorted(map(bytes, castore)) if isinstance(castore, SupportsList) else []
        assert castore.put_raw(DATA) == cid
        castore.put_block(cid, DATA)
        castore.put_blocks([(cid, DATA), (cid, DATA)])
        assert castore.get_raw(cid) == DATA
        assert before == (sorted(map(bytes, castore)) if isinstance(castore, SupportsList) else [])

    def test_trying_to_put_keeps_a_block_or_says_that_it_does_not(self, castore: ContentAddressableStore) -> None:
        """True means that the block is there, False that it is not. A backend that does not block returns True."""
        cid = self.make_cid(DATA)
        kept = castore.try_put_nowait(cid, DATA)
        assert castore.has_block(cid) == kept
        assert kept or castore.blocking

    def test_the_empty_block(self, castore: ContentAddressableStore) -> None:
        """A block of no bytes is a block like any other."""
        cid = self.make_cid(b"")
        assert cid not in castore
        assert castore.put_raw(b"") == cid
        assert cid in castore
        assert castore.get_raw(cid) == b""
        assert castore.size(cid) == 0

    def test_put_raw_takes_any_bytes_and_copies_them(self, castore: ContentAddressableStore) -> None:
        """A buffer that is reused afterwards does not change the block."""
        assert castore.get_raw(castore.put_raw(memoryview(DATA)[::2])) == DATA[::2]
        buffer = bytearray(DATA)
        cid = castore.put_raw(buffer)
        buffer[:] = bytes(len(buffer))
        assert castore.get_raw(cid) == DATA

    @pytest.mark.parametrize("data", [5, "text", None, [1, 2]], ids=repr)
    def test_put_raw_takes_nothing_else(self, castore: ContentAddressableStore, data: object) -> None:
        """A number, a text or a list is a TypeError."""
        with pytest.raises(TypeError):
            castore.put_raw(data)  # type: ignore[arg-type]  # the wrong type is what is tested

    @pytest.mark.parametrize("codec", [cids.RAW, cids.DAG_PB, cids.DAG_CBOR, _DAG_JSON], ids=hex)
    def test_any_codec(self, castore: ContentAddressableStore, codec: int) -> None:
        """A block of any codec is found by the CID that it was put with."""
        cid = castore.put_raw(b"{}", codec)
        assert cid == self.make_cid(b"{}", codec)
        assert cid in castore
        assert castore.get_raw(cid) == b"{}"

    def test_codecs_by_name(self, castore: ContentAddressableStore) -> None:
        """``put_raw`` takes names of the multicodec table; an unknown name is a KeyError."""
        for name, code in {"raw": cids.RAW, "dag-pb": cids.DAG_PB, "dag-cbor": cids.DAG_CBOR, "json": 0x0200}.items():
            assert castore.put_raw(b"{}", name) == self.make_cid(b"{}", code)
        with pytest.raises(KeyError):
            castore.put_raw(b"", "no-such-codec")

    def test_cid_version_0(self, castore: ContentAddressableStore) -> None:
        """A CID of version 0 and the one of version 1 with dag-pb name the same block."""
        digest = hashes.digest_of(cids.SHA2_256, DATA)
        v0, v1 = cids.from_bytes(b"\x12\x20" + digest), cids.from_bytes(cids.make(cids.DAG_PB, digest))
        castore.put_block(v0, DATA)
        for cid in (v0, v1, str(v0)):
            assert cid in castore
            assert castore.get_raw(cid) == DATA

    @pytest.mark.parametrize("code", [cids.SHA2_256, hashes.SHA2_512, hashes.BLAKE2B_256], ids=hex)
    def test_blocks_of_other_hash_functions(self, castore: ContentAddressableStore, code: int) -> None:
        """Blocks of every trusted hash function are read, also with 20 bytes of digest."""
        for cid in (of_hash(code, DATA), of_hash(code, DATA, 20)):
            castore.put_block(cid, DATA)
            assert cid in castore
            assert castore.get_raw(cid) == DATA

    @pytest.mark.parametrize("cid", WEAK)
    def test_cids_that_prove_nothing_are_refused(self, castore: ContentAddressableStore, cid: CID) -> None:
        """A digest that can be forged is an error, and not an absent block."""
        for verb in (castore.get_raw, castore.get, castore.get_range):
            with pytest.raises(HashRefusedError):
                verb(cid)

    def test_identity_cids_hold_their_bytes(self, castore: ContentAddressableStore) -> None:
        """The bytes of an identity CID are read from the CID; the backend does not have them."""
        for data in (b"", b"inline", bytes(128)):
            cid = of_hash(cids.IDENTITY, data)
            assert cid in castore
            assert castore.get_raw(cid) == data
            assert castore.get(cid) == data
            assert castore.size(cid) == len(data)
            assert castore.get_range(cid, 1, 3) == data[1:3]

    # -- damage --

    @pytest.mark.parametrize(
        "bad", [DATA[:-1] + b"\x00", DATA[:-1], DATA + b"\x00", b""], ids=["changed", "cut", "longer", "emptied"]
    )
    def test_a_damaged_block_is_an_error(self, castore: ContentAddressableStore, damage: Damage, bad: bytes) -> None:
        """Each verb that reads it raises an error with the CID. ``verify=False`` returns the bytes as they are."""
        cid = castore.put_raw(DATA)
        damage(cid, bad)
        for verb in (castore.get_raw, castore.get, castore.get_range):
            with pytest.raises(BlockCorruptError, match=str(cid)) as caught:
                verb(cid)
            assert isinstance(caught.value, ValueError)
        if self.shows_damage:
            assert castore.get_raw(cid, verify=False) == bad
        else:
            with pytest.raises(BlockCorruptError, match=str(cid)):
                castore.get_raw(cid, verify=False)
        if not bad:
            with suppress(BlockCorruptError):  # the size of an emptied block is not 0
                assert castore.size(cid) == len(DATA)

    def test_a_removed_block_is_not_found(self, castore: ContentAddressableStore, damage: Damage) -> None:
        """A block that is removed from outside is absent, though it was read before."""
        cid = castore.put_raw(DATA)
        assert castore.get_raw(cid) == DATA
        damage(cid, None)
        with pytest.raises(BlockNotFoundError):
            castore.get_raw(cid)
        castore.put_raw(DATA)
        assert castore.get_raw(cid) == DATA

    @pytest.mark.parametrize("bad", [DATA[:-1] + b"\x00", b""], ids=["changed", "emptied"])
    def test_putting_repairs_a_damaged_block(
        self, castore: ContentAddressableStore, damage: Damage, bad: bytes
    ) -> None:
        """Putting the good bytes again replaces damaged ones, which is how people recover."""
        cid = castore.put_raw(DATA)
        damage(cid, bad)
        castore.put_raw(DATA)
        if self.can_repair:
            assert castore.get_raw(cid) == DATA
        else:
            with pytest.raises(BlockCorruptError):
                castore.get_raw(cid)

    # -- many, all, none --

    def test_many_blocks(self, castore: ContentAddressableStore) -> None:
        """``get_blocks`` returns what ``put_blocks`` put, in any order."""
        pairs = [(self.make_cid(bytes([i]) * i), bytes([i]) * i) for i in range(64)]
        castore.put_blocks(iter(pairs))
        assert sorted(castore.get_blocks(cid for cid, _ in pairs), key=lambda pair: len(pair[1])) == pairs
        assert sorted(castore.get_many_raw(cid for cid, _ in pairs), key=lambda pair: len(pair[1])) == pairs
        castore.put_blocks([])
        assert list(castore.get_blocks([])) == []

    def test_a_missing_one_of_many(self, castore: ContentAddressableStore) -> None:
        """An absent block among many is an error; the iterator does not just end."""
        cid = castore.put_raw(DATA)
        with pytest.raises(BlockNotFoundError):
            list(castore.get_blocks([cid, self.make_cid(b"absent"), cid]))

    def test_an_error_while_putting_many(self, castore: ContentAddressableStore) -> None:
        """The error of the iterable passes through, and the blocks before it are put."""
        pairs = [(self.make_cid(bytes([i])), bytes([i])) for i in range(20)]

        def source() -> Iterator[tuple[CID, bytes]]:
            yield from pairs
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            castore.put_blocks(source())
        for cid, data in pairs:
            assert castore.get_raw(cid) == data

    def test_listing(self, castore: ContentAddressableStore) -> None:
        """Each block is listed once, by a CID that finds it. A store that cannot list is not iterable."""
        assert isinstance(castore, SupportsList) == self.can_list, "can_list says whether the store has __iter__"
        if not isinstance(castore, SupportsList):
            with pytest.raises(TypeError):
                list(castore)  # type: ignore[call-overload]  # that it is refused is the point
            return
        assert list(castore) == []
        put = {castore.put_raw(b"%d" % i, codec) for i, codec in enumerate(("raw", "dag-pb", "dag-cbor", "dag-json"))}
        put |= {castore.put_raw(b"%d" % i) for i in range(10, 40)}
        listed = list(castore)
        assert len(listed) == len(set(listed)) == len(put)
        assert all(castore.has_block(cid) for cid in listed)
        if self.keeps_codecs:
            assert set(listed) == put, "keeps_codecs = False is for a store that keeps digests, and lists raw CIDs"
        else:
            assert {cids.multihash_of(bytes(cid)) for cid in listed} == {cids.multihash_of(bytes(cid)) for cid in put}
            assert {cids.codec_of(bytes(cid)) for cid in listed} == {cids.RAW}

    def test_deleting(self, castore: ContentAddressableStore) -> None:
        """A deleted block is absent, and can be put again. Deleting an absent block changes nothing."""
        assert isinstance(castore, SupportsDelete) == self.can_delete, "can_delete says whether it has delete_block"
        if not isinstance(castore, SupportsDelete):
            assert not hasattr(castore, "delete_block")
            return
        cid, other = castore.put_raw(DATA), castore.put_raw(b"other")
        for _ in range(2):
            castore.delete_block(cid)
            assert cid not in castore
            with pytest.raises(BlockNotFoundError):
                castore.get_raw(cid)
        assert castore.get_raw(other) == b"other"
        castore.put_raw(DATA)
        assert castore.get_raw(cid) == DATA
