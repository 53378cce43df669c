"""How much of an archive is taken into memory at once, unless the caller says otherwise."""

from typing import Final

MAX_HEADER_BYTES: Final = 32 << 20
"""The longest header that is read or written, in bytes; as in go-car."""
MAX_SECTION_BYTES: Final = 8 << 20
"""The longest section (CID and block) that is read or written, in bytes; as in go-car."""
