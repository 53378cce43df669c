"""Pickling stores of obstore: how to make the store again, and the stores that were made."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final, NamedTuple

from ipld_castore.errors import BackendUnavailableError

from . import credentials
from .secrets import redact, redact_urls, without_secrets

_STORES: Final = 16
"""Stores that are cached: dask unpickles one for each task, and a new store has no connections."""


class Recipe(NamedTuple):
    """The class and arguments of a store."""

    make: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    finds_credentials: bool
    """Whether secrets were left out."""


def recipe_of(store: Any, *, with_secrets: bool) -> Recipe:
    """Return how a store is made in another process.

    :param with_secrets: False leaves them out: the other process finds its own
    :raises TypeError: if they cannot be left out, as the store is none of obstore's own
    """
    if type(store).__name__ == "MemoryStore":  # as with a dict, its pickle is what it has
        names = [meta["path"] for page in store.list() for meta in page]
        return Recipe(_filled, (type(store), {name: bytes(store.get(name).bytes()) for name in names}), {}, False)
    if not hasattr(store, "__getnewargs_ex__"):
        if not with_secrets:
            raise TypeError(f"expected a store of obstore for credentials='worker', found {type(store).__name__}")
        return Recipe(_given, (store,), {}, finds_credentials=False)
    arguments, keywords = store.__getnewargs_ex__()
    if with_secrets:
        return Recipe(type(store), tuple(arguments), dict(keywords), finds_credentials=False)
    found = keywords.get("credential_provider")
    public = without_secrets(keywords)
    if isinstance(found, credentials.BotoCredentials):
        public["credential_provider"] = found  # no secret either: the name of a profile
    arguments = tuple(redact_urls(each) if isinstance(each, str) else each for each in arguments)
    return Recipe(type(store), arguments, public, finds_credentials=True)


def store_of(recipe: Recipe) -> Any:
    """Return the store of a recipe. A recent recipe gives the same store again.

    :raises BackendUnavailableError: if no credentials are found, or obstore cannot make the store
    """
    if recipe.make is _filled:
        return _filled(*recipe.arguments)  # each copy has objects of its own
    return _store_of(pickle.dumps(recipe))


@lru_cache(maxsize=_STORES)
def _store_of(pickled: bytes) -> Any:
    recipe: Recipe = pickle.loads(pickled)  # noqa: S301  # made by store_of
    keywords = recipe.keywords
    if recipe.finds_credentials and "credential_provider" not in keywords:
        provider = credentials.find(recipe.make.__name__, keywords.get("config") or {})
        if provider is not None:
            keywords = keywords | {"credential_provider": provider}
    try:
        return recipe.make(*recipe.arguments, **keywords)
    except Exception as error:  # noqa: BLE001  # as obstore raises builtins too
        problem = redact(str(error).split("\n\nDebug source")[0], keywords.get("config") or {})
    raise BackendUnavailableError(f"cannot open the object store in this process: {problem}")


def _given(store: Any) -> Any:
    return store


def _filled(make: Callable[[], Any], objects: dict[str, bytes]) -> Any:
    """Return a new store with these objects."""
    store = make()
    for name, data in objects.items():
        store.put(name, data)
    return store
