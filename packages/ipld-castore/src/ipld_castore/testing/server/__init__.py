"""The server that speaks as gateways and nodes do, and misbehaves on demand.

:mod:`ipld_castore.testing` has its public names.
"""
