"""Copies of whole hierarchies from one store to another, as bytes or with other chunks.

Only the package's ``__init__`` imports it; it builds on the ends of a copy and the model of sources in ``_there``.
"""
