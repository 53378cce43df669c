"""The block format (format.md): keys, documents, nodes and their bounds, the index.

Knows no stores, no networks and no zarr; every other room may import it.
"""
