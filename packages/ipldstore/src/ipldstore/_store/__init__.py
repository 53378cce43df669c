"""The zarr store, and the same contents as a mapping.

The only room that implements zarr's interface. It uses all rooms below, and ``_io`` may import it.
"""
