"""What zarr keeps in one node: its documents, their parts, the grid of its chunks, consolidated metadata.

The rest of ``_merge`` may import it.
"""
