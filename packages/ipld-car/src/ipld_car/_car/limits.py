"""How much of an archive is taken into memory at once, unless the caller says otherwise; where an archive ends."""

from typing import Final

from ipld_car.messages import Message, Term

MAX_HEADER_BYTES: Final = 32 << 20
"""The longest header that is read or written, in bytes; as in go-car."""
MAX_SECTION_BYTES: Final = 8 << 20
"""The longest section (CID and block) that is read or written, in bytes; as in go-car."""
EMPTY_SECTION: Final = Message(
    "expected a section, found one of length zero: ",
    Term("zero_length_section_as_eof=True"),
    " reads an archive that is padded with zeros",
)
"""What every reader says of a section of length zero, unless that ends the archive."""
