"""The backend over an IPFS node, by Kubo's RPC: calls, uploads in CARs, exports, pins and names.

It imports ``_http``, ``_core`` and ``concurrency``; callers get its store from :mod:`ipld_castore`.
"""
