"""What a domain points to by DNSLink: https://dnslink.dev/.

The answer is as trustworthy as the DNS resolver and the way to it; DNS over HTTPS protects the way.
"""

from __future__ import annotations

import base64
import os
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ipld_castore._http.address import parse_url
from ipld_castore._http.client import HTTPClient
from ipld_castore._http.errors import TransportError
from ipld_castore.errors import BackendUnavailableError, BlockNotFoundError, NameRefusedError

if TYPE_CHECKING:
    import dns.message

DOH_VARIABLE: Final = "IPLD_DOH"
"""The environment variable with the URL of a server of DNS over HTTPS."""

_PREFIX: Final = "dnslink="
_MAX_ANSWER_BYTES: Final = 64 << 10
_MAX_NAME: Final = 253


def resolve_dnslink(domain: str, *, doh: str | None = None, timeout: float = 10.0) -> str:
    """Return the path that a domain points to, such as ``/ipfs/CID`` or ``/ipns/name``.

    The record is the TXT record of ``_dnslink.`` and the domain, ``dnslink=/ipfs/CID``. Of several the first in
    the order of text counts, as the order of the DNS is none.

    :param domain: the name of the domain; letters beyond ASCII are encoded as IDNA has it
    :param doh: the URL of a server of DNS over HTTPS (RFC 8484), such as ``https://dns.example/dns-query``; by default
        that of ``$IPLD_DOH``, else the resolver of this machine is asked
    :param timeout: the seconds that an answer may take
    :raises BlockNotFoundError: if the domain has no such record
    :raises NameRefusedError: if the text is no domain
    :raises BackendUnavailableError: if the DNS does not answer
    :raises ImportError: if ``dnspython`` is not installed
    """
    try:
        import dns.exception
        import dns.name
    except ImportError as error:
        raise ImportError(
            f'expected the package dnspython to look up the domain {domain!r}: pip install "ipld-castore[ipns]"'
        ) from error
    try:
        name = dns.name.from_text(f"_dnslink.{domain}")
    except (dns.exception.DNSException, UnicodeError) as error:
        raise NameRefusedError(f"expected an IPNS name or a domain, found {domain[:_MAX_NAME]!r}: {error}") from error
    doh = doh or os.environ.get(DOH_VARIABLE, "").strip() or None
    texts = _ask_system(name, domain, timeout) if doh is None else _ask_https(name, domain, doh, timeout)
    links = sorted(text.removeprefix(_PREFIX).strip() for text in texts if text.startswith(_PREFIX))
    paths = [link for link in links if link.startswith(("/ipfs/", "/ipns/"))]
    if not paths:
        raise BlockNotFoundError(
            f"the domain {domain!r} points to nothing: expected a TXT record dnslink=/ipfs/CID at _dnslink.{domain}"
        )
    return paths[0]


def _ask_system(name: Any, domain: str, timeout: float) -> list[str]:
    """Return the TXT records that the resolver of this machine gives."""
    import dns.exception
    import dns.resolver

    try:
        answer = dns.resolver.resolve(name, "TXT", lifetime=timeout)
    except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
        return []
    except dns.exception.DNSException as error:
        raise BackendUnavailableError(f"cannot look up the domain {domain!r}: {error}") from error
    return [_text_of(record) for record in answer]


def _ask_https(name: Any, domain: str, doh: str, timeout: float) -> list[str]:
    """Return the TXT records that a server of DNS over HTTPS gives: https://www.rfc-editor.org/rfc/rfc8484."""
    import dns.exception
    import dns.message
    import dns.rcode
    import dns.rdatatype

    query = dns.message.make_query(name, dns.rdatatype.TXT, id=0)
    parts = urlsplit(doh)
    address = parse_url(parts._replace(path="", query="", fragment="").geturl())
    encoded = base64.urlsafe_b64encode(query.to_wire()).decode().rstrip("=")
    path = f"{parts.path}?{parts.query + '&' if parts.query else ''}dns={encoded}"
    client = HTTPClient(timeout)
    try:
        with client.request("GET", address, path, {"Accept": "application/dns-message"}) as response:
            if response.status != 200:
                raise BackendUnavailableError(
                    f"cannot look up the domain {domain!r}: {address.url} answered HTTP {response.status}"
                )
            wire = response.read_all(_MAX_ANSWER_BYTES)
        answer = dns.message.from_wire(wire)
    except (TransportError, dns.exception.DNSException) as error:
        raise BackendUnavailableError(f"cannot look up the domain {domain!r} at {address.url}: {error}") from error
    finally:
        client.close()
    if answer.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        code = dns.rcode.to_text(answer.rcode())
        raise BackendUnavailableError(f"cannot look up the domain {domain!r} at {address.url}: it says {code}")
    return _texts_of(answer, name)


def _texts_of(answer: dns.message.Message, name: Any) -> list[str]:
    """Return the TXT records of a message for a name, along its CNAME records."""
    import dns.exception
    import dns.message
    import dns.rdatatype

    if not isinstance(answer, dns.message.QueryMessage):
        raise BackendUnavailableError(f"cannot look up {name}: the answer is one to another question")
    try:
        chain = answer.resolve_chaining()
    except dns.exception.DNSException as error:
        raise BackendUnavailableError(f"cannot look up {name}: the answer is malformed: {error}") from error
    if chain.answer is None or chain.answer.rdtype != dns.rdatatype.TXT:
        return []
    return [_text_of(record) for record in chain.answer]


def _text_of(record: Any) -> str:
    return b"".join(record.strings).decode("utf-8", errors="replace")
