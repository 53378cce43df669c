"""What urllib3 logs of a request for a file has no query, which may be a signature."""

from __future__ import annotations

import logging

import pytest
from ipld_car import cids
from ipld_castore import CarCAStore

from ..support.range_server import File, Handler, RangeServer, archive, raw_blocks


@pytest.mark.parametrize("header", ["Two words", ""], ids=["malformed headers", "good headers"])
def test_a_signed_url(header: str, caplog: pytest.LogCaptureFixture) -> None:
    """Also behind a redirect, and in a warning, which Python prints where nobody has asked for logs."""
    blocks = raw_blocks(3, 300)

    def act(handler: Handler) -> bool:
        if handler.path.startswith("/x.car"):
            handler.answer(307, b"", {"Location": "/real.car?token=s3cr-other", **({header: "1"} if header else {})})
            return True
        return False

    caplog.set_level(logging.DEBUG)
    with RangeServer() as server:
        server.files["/real.car"] = File(archive(blocks, blocks[0][0]))
        server.misbehaviour = act
        with CarCAStore(f"{server.url}/x.car?X-Signature=s3cret") as store:
            assert store.get(cids.from_validated(blocks[1][0])) == blocks[1][1]
        assert [each.path for each in server.asked][:2] == ["/x.car?X-Signature=s3cret", "/real.car?token=s3cr-other"]
    assert "/real.car?..." in caplog.text, "urllib3 logs as it did when this was written"
    assert not header or "Failed to parse headers" in caplog.text
    assert "s3cr" not in caplog.text
