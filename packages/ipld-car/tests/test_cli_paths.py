"""What verbs say of archives with several roots, with holes, and of more paths than there is memory; what they keep."""

from pathlib import Path

import pytest
from car_samples import MIXED, SMALL_V1, SMALL_V2, cid
from cli_samples import Run, text

# -- outputs that are inputs ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line", ["filter --cid-file cids o.car o.car", "get-dag o.car o.car", "concat a.car o.car -o o.car"]
)
def test_an_input_is_not_overwritten_with_less(line: str, ipld_car: Run, tmp_path: Path) -> None:
    """By whatever name; what is appended to keeps all it has."""
    archive = tmp_path / "o.car"
    archive.write_bytes(SMALL_V1)
    (tmp_path / "a.car").write_bytes(SMALL_V2)
    (tmp_path / "cids").write_text(text(cid(b"again")))
    (tmp_path / "link").symlink_to("o.car")
    for words in (line.split(), [*line.split()[:-1], "link"]):
        assert "nothing is written over it" in ipld_car(*words, cwd=tmp_path, code=2).err
        assert archive.read_bytes() == SMALL_V1
    ipld_car("wrap", "o.car", "o.car", cwd=tmp_path)
    ipld_car("filter", "--append", "--cid-file", "cids", "o.car", "o.car", cwd=tmp_path)
    assert len(ipld_car("list", archive).lines) == len(MIXED)
