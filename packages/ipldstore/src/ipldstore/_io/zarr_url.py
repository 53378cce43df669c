"""The schemes ``ipfs``, ``ipns``, ``ipld`` and ``ipldstore`` for URL pipelines of zarr.

zarr loads this module by the entry points ``zarr.url_adapters``, where it has them: zarr-developers/zarr-python#4192.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from zarr.abc.url_pipeline import AdapterResolution, URLPipelineAdapter

from .pipeline import open_pipeline

if TYPE_CHECKING:
    from zarr.abc.url_pipeline import PipelineContext, PipelineSegment

__all__ = ["IPLDAdapter"]

_WRITES: Final = ("w", "w-", "r+")


class IPLDAdapter(URLPipelineAdapter):  # type: ignore[misc]  # zarr that has it is not released
    """Open ``ipfs://CID/path``, or the dataset at the URL before ``|ipldstore:path``. Read-only."""

    @classmethod
    async def open_pipeline_segment(cls, segment: PipelineSegment, context: PipelineContext) -> AdapterResolution:
        """Return the store of a URL and the path in it.

        :raises ValueError: if the mode writes, or the URL is none of a dataset
        """
        if context.mode in _WRITES:
            raise ValueError(f"expected a mode that reads, found {context.mode!r}: ipldstore.open(url, 'a') writes")
        options: Mapping[str, Any] | None = context.storage_options
        before = context.preceding_url if context.preceding else None
        store, path = await asyncio.to_thread(open_pipeline, segment.raw, before, options)
        await store._ensure_open()  # noqa: SLF001  # what zarr itself calls
        return AdapterResolution(store=store, path=path)
