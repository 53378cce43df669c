"""What the command says for the terms in messages of the library: options for arguments."""

from __future__ import annotations

from typing import Final

WORDS: Final = {
    "force=True": "--force",
    "max_entries": "--max-entries",
    "max_section_bytes": "",
    "set_root=True": "--set-root",
    "skip_unsafe_links=True": "--skip-unsafe-links",
    "zero_length_section_as_eof=True": "--zero-length-section-as-eof",
}
"""The words for each :class:`ipld_car.messages.Term`, by its name; nothing where Python alone has what it names."""
