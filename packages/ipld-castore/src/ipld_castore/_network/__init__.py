"""The IPFS network for callers that name no store: finding a node or gateways, and what names point to.

It imports ``_gateway``, ``_kubo`` and the rooms below them. Only the package's ``__init__`` imports it.
"""
