"""The RPC of the test server, as Kubo 0.43 answers: https://docs.ipfs.tech/reference/kubo/rpc/."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from hashlib import sha256
from threading import Lock
from typing import Any

from ipld_car import CarError, CarReader, cids, hashes
from multiformats import CID

from ipld_castore.errors import BlockNotFoundError, CAStoreError

from .gateway_side import AnyRequest
from .node_blocks import NodeBlocks
from .replies import Reply, json_reply, kubo_error, lines_reply, text_reply

_CODECS = {"raw": cids.RAW, "dag-pb": cids.DAG_PB, "dag-cbor": cids.DAG_CBOR}
_HASHES = {
    "sha2-256": cids.SHA2_256,
    "sha2-512": hashes.SHA2_512,
    "blake3": hashes.BLAKE3,
    "blake2b-256": hashes.BLAKE2B_256,
}


class RPCSide:
    """Answers ``POST /api/v0/...``. Pins, keys and names are kept in memory.

    :param blocks: the store that has the blocks
    """

    def __init__(self, blocks: NodeBlocks) -> None:
        self._blocks = blocks
        self._pins: dict[str, str] = {}
        self._lock = Lock()
        """Held while pins are listed or moved."""
        self._keys: dict[str, str] = {"self": _key_id("self")}
        self._names: dict[str, str] = {}
        self._commands: dict[str, Callable[[AnyRequest], Reply]] = {
            "block/get": self._block_get,
            "block/put": self._block_put,
            "block/stat": self._block_stat,
            "block/rm": self._block_rm,
            "refs/local": lambda _: lines_reply({"Ref": str(_raw(cid)), "Err": ""} for cid in list(self._blocks)),
            "dag/import": self._dag_import,
            "dag/export": self._dag_export,
            "pin/add": self._pin_add,
            "pin/rm": self._pin_rm,
            "pin/ls": self._pin_ls,
            "pin/update": self._pin_update,
            "key/gen": self._key_gen,
            "key/list": lambda _: json_reply({"Keys": [{"Name": name, "Id": k} for name, k in self._keys.items()]}),
            "key/ls": lambda _: json_reply({"Keys": [{"Name": name, "Id": k} for name, k in self._keys.items()]}),
            "name/publish": self._name_publish,
            "name/resolve": self._name_resolve,
            "id": lambda _: json_reply(
                {"ID": self._keys["self"], "AgentVersion": "kubo/0.43.0/test", "Addresses": self._addresses()}
            ),
            "swarm/connect": lambda request: json_reply(
                {"Strings": [f"connect {x} success" for x in request.query["arg"]]}
            ),
            "version": lambda _: json_reply({"Version": "0.43.0", "Repo": "18", "System": "test"}),
        }

    def reply_to(self, request: AnyRequest) -> Reply | None:
        """Return the response; None for requests that are not for the RPC."""
        if not request.path.startswith("/api/v0/"):
            return None
        if request.method != "POST":
            return text_reply(405, "405 - Method Not Allowed")
        command = self._commands.get(request.path.removeprefix("/api/v0/"))
        if command is None:
            return text_reply(404, "404 page not found")
        try:
            return command(request)
        except BlockNotFoundError as error:
            found = error.args[0] if error.args else ""
            return kubo_error(f"block was not found locally (offline): ipld: could not find {found}")
        except (CAStoreError, CarError) as error:
            return kubo_error(str(error))

    def _addresses(self) -> list[str]:
        """Return addresses of documentation (RFC 5737), at which nobody listens."""
        return [f"/ip4/192.0.2.{number}/tcp/4001/p2p/{self._keys['self']}" for number in (1, 2)]

    # -- blocks --

    def _block_get(self, request: AnyRequest) -> Reply:
        data = self._get(_argument(request))
        return Reply(200, {"Content-Type": "text/plain"}, [data])

    def _block_put(self, request: AnyRequest) -> Reply:
        code = _HASHES[request.option("mhtype", "sha2-256")]
        codec = _CODECS[request.option("cid-codec", "raw")]
        answers = []
        for data in _files(request):
            size = int(request.option("mhlen", "-1"))
            digest = hashes.digest_of(code, data)
            cid = cids.from_bytes(cids.make(codec, digest if size < 0 else digest[:size], code))
            self._blocks.put_block(cid, data)
            answers.append({"Key": str(cid), "Size": len(data)})
        return lines_reply(answers) if answers else kubo_error("file argument 'data' is required", 400)

    def _block_stat(self, request: AnyRequest) -> Reply:
        cid = _argument(request)
        return json_reply({"Key": str(cid), "Size": len(self._get(cid))})

    def _block_rm(self, request: AnyRequest) -> Reply:
        lines = []
        for text in request.query["arg"]:
            held = self._held_by_pins()
            if cids.multihash_of(cids.to_bytes(text)) in held:
                lines.append({"Hash": text, "Error": "pinned: recursive"})
            else:
                self._blocks.delete_block(cids.from_bytes(cids.to_bytes(text)))
                lines.append({"Hash": text})
        return lines_reply(lines)

    def _held_by_pins(self) -> set[bytes]:
        return {cids.multihash_of(bytes(cid)) for pin in self._pins for cid, _ in self._blocks.get_dag(pin)}

    def _get(self, cid: CID) -> bytes:
        return self._blocks.get_raw(cid, verify=False)

    # -- graphs --

    def _dag_import(self, request: AnyRequest) -> Reply:
        lines: list[Any] = []
        count = size = 0
        for archive in _files(request):
            reader = CarReader(archive)
            for block in reader:
                self._blocks.put_block(block.cid, block.data)
                count += 1
                size += len(block.data)
            if request.option("pin-roots", "true") == "true":
                roots = map(str, reader.roots)
                lines += ({"Root": {"Cid": {"/": root}, "PinErrorMsg": self._pin(root, "")}} for root in roots)
        if request.option("stats") == "true":
            lines.append({"Stats": {"BlockCount": count, "BlockBytesCount": size}})
        return lines_reply(lines)

    def _dag_export(self, request: AnyRequest) -> Reply:
        root = _argument(request)
        self._get(root)

        def pieces() -> Iterator[bytes]:
            collected: list[bytes] = []

            class Sink:
                def write(self, data: bytes, /) -> None:
                    collected.append(data)

            self._blocks.to_car(root, Sink())
            yield from collected

        return Reply(200, {"Content-Type": "application/vnd.ipld.car", "Trailer": "X-Stream-Error"}, pieces())

    # -- pins --

    def _pin(self, text: str, name: str) -> str:
        """Pin a root; returns what is wrong, as the node says it."""
        try:
            for _ in self._blocks.get_dag(text):
                pass
        except BlockNotFoundError:
            return f"block was not found locally (offline): ipld: could not find a block below {text}"
        except CAStoreError as error:
            return str(error)
        self._pins[text] = name  # in one step, also for those who list pins meanwhile
        return ""

    def _pin_add(self, request: AnyRequest) -> Reply:
        for text in request.query["arg"]:
            problem = self._pin(text, request.option("name"))
            if problem:
                return kubo_error(f"pin: {problem}")
        return json_reply({"Pins": request.query["arg"]})

    def _pin_rm(self, request: AnyRequest) -> Reply:
        for text in request.query["arg"]:
            if self._pins.pop(text, None) is None:
                return kubo_error(f"{text} is not pinned or pinned indirectly")
        return json_reply({"Pins": request.query["arg"]})

    def _pin_ls(self, request: AnyRequest) -> Reply:
        wanted = set(request.query.get("arg", list(self._pins)))
        missing = [text for text in sorted(wanted) if text not in self._pins]
        if missing:
            return kubo_error(f"path '{missing[0]}' is not pinned")
        with self._lock:
            found = {text: name for text, name in self._pins.items() if text in wanted}
        named = {text: name for text, name in found.items() if request.option("name") in name}
        if request.option("stream") == "true":
            return lines_reply({"Cid": text, "Type": "recursive", "Name": name} for text, name in named.items())
        return json_reply({"Keys": {text: {"Type": "recursive", "Name": name} for text, name in named.items()}})

    def _pin_update(self, request: AnyRequest) -> Reply:
        old, new = request.query["arg"]
        with self._lock:  # of several that move one pin, one succeeds
            if old not in self._pins:
                return kubo_error("'from' cid was not recursively pinned already")
            problem = self._pin(new, self._pins[old])
            if problem:
                return kubo_error(problem)
            if request.option("unpin", "true") == "true" and old != new:
                del self._pins[old]
        return json_reply({"Pins": [old, new]})

    # -- names --

    def _key_gen(self, request: AnyRequest) -> Reply:
        name = request.option("arg")
        if name in self._keys:
            return kubo_error(f"key with name '{name}' already exists")
        self._keys[name] = _key_id(name)
        return json_reply({"Name": name, "Id": self._keys[name]})

    def _name_publish(self, request: AnyRequest) -> Reply:
        key = request.option("key", "self")
        if key not in self._keys:
            return kubo_error("no key by the given name was found")
        self._names[self._keys[key]] = request.option("arg")
        return json_reply({"Name": self._keys[key], "Value": request.option("arg")})

    def _name_resolve(self, request: AnyRequest) -> Reply:
        name = request.option("arg", self._keys["self"]).removeprefix("/ipns/")
        found = self._names.get(name)
        return kubo_error("could not resolve name") if found is None else json_reply({"Path": found})


def _key_id(name: str) -> str:
    """Return the id of a key, as long as a real one and the same for the same name."""
    return cids.to_text(cids.make(0x72, sha256(name.encode()).digest()))


def _raw(cid: CID) -> CID:
    """Return the raw CID of the same bytes, as Kubo lists blocks."""
    return cids.from_bytes(b"\x01\x55" + cids.multihash_of(cids.to_bytes(cid)))


def _argument(request: AnyRequest) -> CID:
    return cids.from_bytes(cids.to_bytes(request.option("arg").removeprefix("/ipfs/")))


def _files(request: AnyRequest) -> list[bytes]:
    """Return the files of a multipart body (RFC 2046)."""
    _, _, boundary = request.headers.get("content-type", "").partition("boundary=")
    mark = b"\r\n--" + boundary.strip('"').encode()
    parts = (b"\r\n" + request.body).split(mark)[1:]
    return [part.partition(b"\r\n\r\n")[2] for part in parts if not part.startswith(b"--")]
