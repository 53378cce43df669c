"""Clients of the IPFS pinning service API: requests to pin a graph, their statuses, waiting for the end.

It imports ``_core``, ``_http`` and ``errors``; only ``testing`` and the package's ``__init__`` may import it.
"""
