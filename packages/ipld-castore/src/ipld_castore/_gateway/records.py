"""IPNS records of gateways, as they send them: https://specs.ipfs.tech/http-gateways/trustless-gateway/."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ipld_castore.concurrency import in_order

from .refusal import check_headers, refusal
from .retry import ATTEMPT_ERRORS, FailureKind, failure_of

if TYPE_CHECKING:
    from .endpoints import Gateway
    from .store import GatewayCAStore

RECORD_TYPE: Final = "application/vnd.ipfs.ipns-record"
MAX_RECORD_BYTES: Final = 10 << 10


class RecordAnswers(NamedTuple):
    """What gateways sent for a name. Nothing of it has been checked."""

    records: list[tuple[str, bytes]]
    """The URL of each gateway that sent a record, and the record."""
    failures: list[str]
    """What each other gateway said."""
    is_absent: bool
    """Whether all that sent none said that there is none."""


def fetch_records(store: GatewayCAStore, name: str) -> RecordAnswers:
    """Ask all gateways of a store at once for the record of an IPNS name.

    :param name: the name, in base36
    """

    def ask(gateway: Gateway) -> bytes | tuple[FailureKind, str]:
        try:
            with store._request(gateway, f"/ipns/{name}?format=ipns-record", RECORD_TYPE) as response:  # noqa: SLF001  # of this room
                if response.status != 200:
                    raise refusal(response)
                check_headers(response, RECORD_TYPE)
                return response.read_all(MAX_RECORD_BYTES)
        except ATTEMPT_ERRORS as error:
            failure = failure_of(error)
            return failure.kind, failure.message

    records: list[tuple[str, bytes]] = []
    failures: list[str] = []
    kinds: set[FailureKind] = set()
    for gateway, answer in in_order(ask, store._attempts.gateways):  # noqa: SLF001  # of this room
        if isinstance(answer, bytes):
            records.append((gateway.url, answer))
        else:
            kinds.add(answer[0])
            failures.append(f"{gateway.url}: {answer[1]}")
    return RecordAnswers(records, failures, kinds <= {FailureKind.ABSENT})
