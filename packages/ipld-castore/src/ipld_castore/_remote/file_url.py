"""The URL of a file on an HTTP server, whose credentials and query no text shows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote, urljoin, urlsplit

from ipld_castore._http.address import Address, bearer_secret, parse_url

_UNQUOTED: Final = "/%:@!$&'()*+,;=~"
_QUERY_UNQUOTED: Final = _UNQUOTED + "?[]"


@dataclass(frozen=True)
class FileURL:
    """A file on a server."""

    address: Address
    """Scheme, host, port and credentials."""
    path: str
    """The path, quoted."""
    query: str = field(default="", repr=False)
    """The query with its question mark, quoted: it may be a signature, so it is secret."""

    @property
    def shown(self) -> str:
        """The URL without credentials and query, for messages."""
        return self.address.url + self.path

    @property
    def target(self) -> str:
        """Path and query, for requests."""
        return self.path + self.query

    def with_token(self, token: str | None) -> FileURL:
        """Return the same URL with a bearer token for its server.

        :raises ValueError: if there are credentials already, or a header cannot hold the token
        """
        if token is None:
            return self
        if self.address.secret is not None:
            raise ValueError("expected a token or user:password@ in the URL, found both")
        return replace(self, address=replace(self.address, secret=bearer_secret(token)))

    def redirected(self, location: str) -> FileURL:
        """Return the URL that a redirect names. Credentials go with it to the same server only.

        :raises ValueError: if it is no URL of a file, or leads from https to http
        """
        found = parse_file_url(urljoin(self.shown + self.query, location))
        if self.address.url.startswith("https:") and not found.address.url.startswith("https:"):
            raise ValueError("expected a redirect to https, found one to http")
        secret = self.address.secret if found.address.url == self.address.url else None
        return replace(found, address=replace(found.address, secret=secret))


def parse_file_url(text: str) -> FileURL:
    """Return the URL of a file, which may hold ``user:password@`` and a query.

    :raises ValueError: if the text is no ``http`` or ``https`` URL with a path; the error does not repeat the text

    >>> parse_file_url("https://me:pass@Host/a b.car?signature=x")
    FileURL(address=Address(url='https://host', secret=<secret>, source=None), path='/a%20b.car')
    """
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("expected an http or https URL, found something else") from None
    if parts.fragment:
        raise ValueError("expected a URL without a fragment, found one with '#'")
    address = parse_url(f"{parts.scheme}://{parts.netloc}")
    query = f"?{quote(parts.query, safe=_QUERY_UNQUOTED)}" if parts.query else ""
    return FileURL(address, quote(parts.path or "/", safe=_UNQUOTED), query)
