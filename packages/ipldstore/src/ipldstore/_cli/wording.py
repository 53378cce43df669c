"""What messages of the library say in the words of the command: options and verbs for arguments and functions."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"zero_length_section_as_eof=True, in the command (--[a-z-]+),", r"\1"),
        (r"\bopen\('[^']*', castore=\.\.\.\), or open\('(ipfs://[^']*)'\) to ask", r"\1 asks"),
        (r"with a CID the castore that has its blocks", "with a CID where its blocks are"),
        (r"\bstorage_options\b", "--storage-option"),
        (r" or give the address of its RPC API as IPFSStore\(host\)", " or give the address of its RPC API by --node"),
        (r"pass allow=\[prefix, \.\.\.\] with the folders and URLs that it may read", "--allow names one more place"),
        (r": \S.* gives its blocks, and IPLDStore\(castore, root=cid\) one of its datasets", ": `ipld-car` reads such"),
        (r"\bcompact\(path\) makes", "`ipldstore gc` makes"),
        (
            r'write it into a new one: open\(new, "x"\)\.mapping\.update\(open\(path\)\.mapping\)',
            "`ipldstore import` writes it into a new one",
        ),
        (r": IPLDStore\(FileSystemCAStore\(path\), root=cid\) reads the dataset of a CID", ""),
        (r" \(GatewayCAStore\(url\) reads from a gateway, and CarCAStore\(url\) an archive at any URL\)", ""),
        (r"Repository\.open\(\.\.\.\)\.writable_session\(\) commits to it", "with @ and a branch it is written"),
        (r"; the changes are still there(: rebase\(\) brings them onto it)?", "; nothing was changed: do it again"),
        (r", or pass time=\.\.\.", ""),
        (r"\bpull\(\) brings", "`ipldstore pull` brings"),
        (r"\bmerge\('(\w+)', into='([^']*)'\) brings", r"`ipldstore merge WHAT \1 --into \2` brings"),
        (r"\bdelete_tag (t?here)", r"`ipldstore tag WHAT NAME --delete` \1"),
        (r"\bforce=True\b", "--force"),
        (r"\breset_branch moves it", "`ipldstore branch WHAT NAME AT --reset` moves it"),
        (r"\bset_default\(other\) first makes", "`ipldstore branch WHAT OTHER --default` first makes"),
        (r"\bcanonicalize\(into=castore\) makes", "`ipldstore import` makes"),
        (r"\bcanonicalize\(\)", "`ipldstore import`"),
        (r"\brecover\(\.\.\.\) takes it in", "`ipldstore sessions WHAT --recover NAME` takes it in"),
        (r"\bolder_than=\.\.\. compacts", "`ipldstore gc --older-than AGE` collects"),
        (r"timedelta\(days=1\) keeps", "--older-than 1d keeps"),
        (r"\bolder_than\b", "--older-than"),
        (
            r", as reference\(\) makes it; found (.*) \(car_references\(\) gives references into an archive\)",
            r"; found \1",
        ),
        (r"\bresolve=\.\.\. decides", "--resolve decides"),
        (r"from before expire\(\)", "from before `ipldstore expire`"),
        (r"\bunrelated=True\b", "--unrelated"),
        (r"readonly_session\(\.\.\.\) and writable_session\(\.\.\.\) name versions", "this verb is for all of it"),
        (r": Repository\.create\(\.\.\.\) makes one", ": ipldstore.Repository.create(...) of Python makes one"),
        (
            r"Repository\.create\(\.\.\., adopt=True\) makes",
            "ipldstore.Repository.create(..., adopt=True) of Python makes",
        ),
        (r": IPLDStore\(castore, root=\.\.\.\) reads it", ""),
        (r": Repository\.open\(\.\.\.\)$", ""),
        (r"; adopt=True makes it the data of the first commit", ""),
        (r"\bpull\(\.\.\.\) adds", "`ipldstore pull` adds"),
        (r": compare or merge groups of them, which subtree\(path\) names", ": compare groups of them, by #"),
        (
            r"on_conflict=\.\.\. of freeze and merge decides, or resolve_conflict\(key, writer\)",
            "ipldstore.recover(..., on_conflict=...) of Python decides",
        ),
    )
)
"""A pattern in a message, and what stands for it."""


def in_words(message: str) -> str:
    """Return a message in the words of the command.

    >>> in_words("expected names that are in our past; force=True overwrites what is there")
    'expected names that are in our past; --force overwrites what is there'
    """
    for pattern, text in _WORDS:
        message = pattern.sub(text, message)
    return message
