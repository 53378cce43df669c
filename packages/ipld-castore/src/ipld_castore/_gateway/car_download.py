"""CARs from untrusted gateways: only blocks that the caller's own walk reaches are taken, in its order."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from typing import Final

from ipld_car import CarError, CarReader, cids

from ipld_castore._core.hash_policy import check_hash, identity_bytes, verify
from ipld_castore._core.store import MAX_NODE_BYTES
from ipld_castore._http.response import Response
from ipld_castore.concurrency import ReadAhead, drop_tracebacks
from ipld_castore.errors import BlockCorruptError, BlockNotFoundError

from .endpoints import Gateway
from .retry import ATTEMPT_ERRORS, AttemptError, Attempts, FailureKind, failure_of

_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_REPEATED_BYTES: Final = 8 << 20
"""Bytes of repeated blocks that are skipped. The request asks for none, but some gateways do not know ``dups=n``."""
_LEAVES_AHEAD: Final = 64


def check_bytes(cid: bytes, data: bytes) -> None:
    """Verify bytes from a gateway against their binary CID.

    :raises AttemptError: if they are not the block of the CID
    """
    try:
        verify(cid, data)
    except BlockCorruptError as error:
        raise AttemptError(FailureKind.CORRUPT, str(error)) from None


class CarStream:
    """The blocks of a CAR while it comes in. The roots in its header are ignored.

    :param response: the response that the CAR is the body of
    :param gateway: the gateway that sends it
    :raises AttemptError: if the body does not begin as a CAR
    :raises TransportError: if the body cannot be read
    """

    def __init__(self, response: Response, gateway: Gateway) -> None:
        self.gateway = gateway
        self._response = response
        self._given: set[bytes] = set()
        self._repeated = 0
        try:
            reader = CarReader(
                response,
                verify=False,  # a block is verified once it is known to be the wanted one
                max_header_bytes=_MAX_HEADER_BYTES,
                max_section_bytes=MAX_NODE_BYTES + cids.MAX_CID_BYTES,
            )
        except CarError as error:
            raise _no_car(error) from error
        self._blocks = iter(reader)

    def take(self, wanted: bytes) -> bytes:
        """Return the verified bytes of the block that the walk wants next.

        :param wanted: the binary CID of the block
        :raises AttemptError: if the next block is another one, or corrupt, or there is none
        :raises TransportError: if the body cannot be read
        """
        try:
            for block in self._blocks:
                found = block.cid_bytes
                if found == wanted:
                    if len(block.data) > MAX_NODE_BYTES:
                        raise AttemptError(
                            FailureKind.REFUSED, f"expected a block of at most {MAX_NODE_BYTES} bytes, found more"
                        )
                    check_bytes(found, block.data)
                    self._given.add(found)
                    return block.data
                self._repeated += len(block.data) + cids.CIDV1_SHA256_SIZE
                if found not in self._given or self._repeated > _MAX_REPEATED_BYTES:
                    raise AttemptError(
                        FailureKind.REFUSED,
                        f"expected block {cids.to_text(wanted)} next in the archive, found {cids.to_text(found)}",
                    )
        except CarError as error:
            raise _no_car(error) from error
        raise AttemptError(
            FailureKind.REFUSED, f"expected block {cids.to_text(wanted)} next in the archive, found its end"
        )

    def finish(self) -> None:
        """Read the end, which should be all that is left, so that the connection can be used again."""
        self._response.drain()

    def close(self) -> None:
        """Stop. The rest of the CAR is not read."""
        self._response.close()


def _no_car(error: CarError) -> AttemptError:
    return AttemptError(FailureKind.REFUSED, f"expected an archive of blocks: {error}")


Begin = Callable[[bytes], tuple[bytes, CarStream | None]]
"""Requests a CAR that begins with a block: returns the block's bytes, and the rest of the CAR if there is one."""


class Walk:
    """The blocks that a walk wants: out of a CAR, out of another CAR where that fails, or one by one.

    :param attempts: records the failures of gateways
    :param begin: requests a CAR
    :param single: gets one block
    :param resumes: whether another CAR is requested where one has failed; else the rest is got one by one
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
        """Get blocks before the walk asks for them, where no CAR comes any more; see :func:`ipld_car.walk_binary`."""
        if self._begun and self._stream is None:
            self._singles.ahead([cid for cid in waiting[-_LEAVES_AHEAD:] if cids.codec_of(cid) == cids.RAW], seen)

    def get(self, cid: bytes) -> bytes:
        """Return the verified bytes of the block that the walk has come to.

        :raises CAStoreError: if no gateway sends them
        """
        inline = identity_bytes(cid)
        if inline is not None:
            return inline
        check_hash(cid)
        if self._stream is not None:
            try:
                return self._stream.take(cid)
            except ATTEMPT_ERRORS as error:
                self._attempts.record(self._stream.gateway, cid, failure_of(error))
                drop_tracebacks(error)  # the reader of the CAR keeps it
                self.stop()
        if self._begun and not (self._resumes and cids.codec_of(cid) != cids.RAW):
            return self._singles.get(cid)
        self._begun = True
        try:
            data, self._stream = self._begin(cid)
        except BlockNotFoundError:
            if self._resumes:
                raise
            return self._single(cid)  # the gateway may have the block, and not the path
        return data

    def finish(self) -> None:
        """End a complete walk, so that the connection can be used again."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.finish()

    def stop(self) -> None:
        """Stop reading the CAR."""
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.close()

    def close(self) -> None:
        """End the walk, complete or not."""
        self.stop()
        self._singles.__exit__(None, None, None)
