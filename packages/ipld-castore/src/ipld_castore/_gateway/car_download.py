"""CARs that come from servers nobody trusts: only what the caller's own walk reaches is taken, in its order."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Final

from ipld_car import CarError, CarReader, cids

from ipld_castore._core.hash_policy import check_hash, identity_bytes, verify
from ipld_castore._core.store import MAX_NODE_BYTES
from ipld_castore._http.client import Answer
from ipld_castore.concurrency import ReadAhead
from ipld_castore.errors import BlockCorruptError, BlockNotFoundError

from .endpoints import Gateway
from .retry import Attempts, Failure, Why

_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_REPEATED_BYTES: Final = 8 << 20
"""Of blocks that a CAR brings more than once, though it was asked not to."""
_LEAVES_AHEAD: Final = 64


def check_bytes(cid: bytes, data: bytes) -> None:
    """Hold bytes from a gateway against their binary CID.

    :raises Failure: if they are others
    """
    try:
        verify(cid, data)
    except BlockCorruptError as error:
        raise Failure(Why.WRONG, str(error)) from None


class CarStream:
    """The blocks of a CAR while it comes. The roots that it names mean nothing and are not looked at.

    :param answer: what it comes in
    :param gateway: who sends it
    :raises Failure: if it does not begin as a CAR does
    """

    def __init__(self, answer: Answer, gateway: Gateway) -> None:
        self.gateway = gateway
        self._answer = answer
        self._given: set[bytes] = set()
        self._repeated = 0
        try:
            reader = CarReader(
                answer,
                verify=False,  # each block is, once it is known to be the one that is wanted
                max_header_bytes=_MAX_HEADER_BYTES,
                max_section_bytes=MAX_NODE_BYTES + cids.MAX_CID_BYTES,
            )
        except CarError as error:
            raise _broken(error) from error
        self._blocks = iter(reader)

    def take(self, wanted: bytes) -> bytes:
        """The bytes of the block that the walk wants now, verified.

        :param wanted: its binary CID
        :raises Failure: if the next block is another, or there is none, or its bytes are others
        """
        try:
            for block in self._blocks:
                found = block.cid_bytes
                if found == wanted:
                    if len(block.data) > MAX_NODE_BYTES:
                        raise Failure(Why.FAILED, f"expected a block of at most {MAX_NODE_BYTES} bytes, found more")
                    check_bytes(found, block.data)
                    self._given.add(found)
                    return block.data
                self._repeated += len(block.data) + cids.CIDV1_SHA256_SIZE
                if found not in self._given or self._repeated > _MAX_REPEATED_BYTES:
                    raise Failure(
                        Why.FAILED,
                        f"expected block {cids.to_text(wanted)} next in the archive, found {cids.to_text(found)}",
                    )
        except CarError as error:
            raise _broken(error) from error
        raise Failure(Why.FAILED, f"expected block {cids.to_text(wanted)} next in the archive, found its end")

    def finish(self) -> None:
        """Read the end, which should be all that is left, so that the connection can be used again."""
        self._answer.drain()

    def close(self) -> None:
        """Stop; what has not come does not matter."""
        self._answer.close()


def _broken(error: CarError) -> Failure:
    return Failure(Why.FAILED, f"expected an archive of blocks: {error}")


Begin = Callable[[bytes], tuple[bytes, CarStream | None]]
"""Asks for a CAR that begins with a block: its bytes, and what follows; None if nothing can."""


class Walk:
    """The blocks that a walk wants, one after another, out of a CAR, of another CAR where that fails, or one by one.

    :param attempts: takes notes of gateways that fail in the middle
    :param begin: asks for a CAR
    :param single: gets a block alone
    :param resumes: whether a new CAR is asked for where one has failed; else what is left is got one by one
    """

    def __init__(self, attempts: Attempts, begin: Begin, single: Callable[[bytes], bytes], *, resumes: bool) -> None:
        self._attempts = attempts
        self._begin = begin
        self._single = single
        self._resumes = resumes
        self._begun = False
        self._stream: CarStream | None = None
        self._singles = ReadAhead(single)

    def ahead(self, waiting: Sequence[bytes], seen: Container[bytes]) -> None:
        """Where no CAR comes any more, get blocks before the walk comes to them; see :func:`ipld_car.walk_binary`."""
        if self._begun and self._stream is None:
            self._singles.ahead([cid for cid in waiting[-_LEAVES_AHEAD:] if cids.codec_of(cid) == cids.RAW], seen)

    def get(self, cid: bytes) -> bytes:
        """The verified bytes of the block that the walk has come to.

        :raises CAStoreError: if no gateway gives them
        """
        inline = identity_bytes(cid)
        if inline is not None:
            return inline
        check_hash(cid)
        if self._stream is not None:
            try:
                return self._stream.take(cid)
            except Failure as failure:
                self._attempts.note(self._stream.gateway, cid, failure)
                self._let_go()
        if self._begun and not (self._resumes and cids.codec_of(cid) != cids.RAW):
            return self._singles.get(cid)
        self._begun = True
        try:
            data, self._stream = self._begin(cid)
        except BlockNotFoundError:
            if self._resumes:
                raise
            return self._single(cid)  # it was the path that is not there
        return data

    def finish(self) -> None:
        """The walk is complete: let the connection be used again."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.finish()

    def close(self) -> None:
        """The walk is over, or was given up."""
        self._let_go()
        self._singles.__exit__(None, None, None)

    def _let_go(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()
