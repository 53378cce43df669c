"""The conformance suite of a backend: a module for blocks, values, graphs, and use of the store.

:mod:`ipld_castore.testing` joins them.
"""
