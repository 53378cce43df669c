"""Datasets as people look at them: outlines of a hierarchy, made into text and into HTML for notebooks.

Knows zarr's interface of a store and plain values, no blocks. Imported by `_store` and by all rooms above it.
"""
