"""A test server that answers as trustless gateways and IPFS nodes do, and misbehaves on demand.

It uses a store of ``_core`` and ``_backends`` for its blocks; users import it from :mod:`ipld_castore.testing`.
"""
