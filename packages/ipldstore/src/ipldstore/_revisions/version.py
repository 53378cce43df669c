"""Which version of a repository is meant: a branch, a tag, a commit, or a time."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from .refspec import Ref


class Version(NamedTuple):
    """A version of a repository, as :func:`ipldstore.open` takes it. All None is the default branch."""

    ref: str | None = None
    """What follows ``@`` in an address: a branch, a tag or a commit."""
    branch: str | None = None
    tag: str | None = None
    commit: Ref | None = None
    as_of: datetime | str | None = None
    """The time: the newest commit then."""

    @property
    def is_given(self) -> bool:
        """Whether any version is named."""
        return any(each is not None for each in self)

    def check(self) -> None:
        """Refuse two names of one version.

        :raises ValueError: if more than one of ref, branch, tag and commit is given
        """
        named = self._replace(as_of=None)
        if sum(each is not None for each in named) > 1:
            raise ValueError(f"expected one of branch, tag, commit and @ in the address, found {named}")

    def __str__(self) -> str:
        given = zip(self._fields[1:], self[1:], strict=True)
        names = [f"{name}={value!r}" for name, value in given if value is not None]
        return ", ".join(names if self.ref is None else [f"@{self.ref}", *names])


def refuse_version(version: Version) -> None:
    """Refuse a version of what is no repository.

    :raises ValueError: if a version is named
    """
    if version.is_given:
        raise ValueError(f"expected no version, as there is no repository; found {version}")
