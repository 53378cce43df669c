"""HDF5 and netCDF-4 as sources: what VirtualiZarr makes of a file, what it leaves out, and series of like files.

``sources`` imports it; it builds on ``model`` and ``manifests``.
"""
