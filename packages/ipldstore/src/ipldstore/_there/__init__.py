"""Data that is already there: datasets over files that stay where they are, copies between stores, bundles to publish.

The command and the package's ``__init__`` import it; it builds on ``_io`` and all below.
"""
