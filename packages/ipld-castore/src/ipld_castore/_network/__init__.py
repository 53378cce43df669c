"""The IPFS network for who names no store: a node or gateways that are found, and what names point to.

It imports ``_gateway``, ``_kubo`` and the rooms below them. Only the package's ``__init__`` imports it.
"""
