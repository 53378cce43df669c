"""The block format (format.md): keys, documents, nodes and their bounds, the index.

It knows no networks and no zarr, and every other room may import it.
"""
