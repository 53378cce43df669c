"""The conformance tests of a backend, by what they test.

:mod:`ipld_castore.testing` joins them.
"""
