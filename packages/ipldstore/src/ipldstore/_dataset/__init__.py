"""A dataset: keys and bytes over a block store, with its lock, its root and its process.

It uses the tree, the readers and the writers, and knows no zarr. ``_store`` and ``_io`` may import it.
"""
