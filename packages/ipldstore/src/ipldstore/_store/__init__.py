"""The zarr store, and the same contents as a mapping.

Uses the dataset; the only room that implements zarr's interface.
"""
