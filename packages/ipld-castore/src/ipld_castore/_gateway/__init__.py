"""The backend over trustless HTTP gateways: which gateway is asked, how often, and blocks and CARs from it.

It imports ``_http``, ``_core`` and ``concurrency``; callers get its store from :mod:`ipld_castore`.
"""
