"""A dataset: keys and bytes over a block store, with its lock, its root and its process.

Uses the tree; knows no zarr. The store imports it.
"""
