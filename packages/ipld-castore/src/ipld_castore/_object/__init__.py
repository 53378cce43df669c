"""Object stores: blocks, a head and small exchanged objects in buckets, through obstore.

Only the package's ``__init__`` imports it; it builds on ``_core``, ``concurrency`` and the layout of ``_backends``.
"""
