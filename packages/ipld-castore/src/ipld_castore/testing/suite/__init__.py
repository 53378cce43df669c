"""The conformance suites: a module each for blocks, values, graphs, and use of a store, and one for journals.

:mod:`ipld_castore.testing` joins the first four, and exports both suites.
"""
