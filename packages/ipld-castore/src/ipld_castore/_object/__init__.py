"""Object stores: blocks, a head and small exchanged objects in buckets, through obstore.

It builds on ``_core``, ``concurrency`` and the layout of ``_backends``. ``_remote`` and the package's ``__init__`` may
import it.
"""
