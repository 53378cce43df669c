"""Sources that have zarr's keys already, a module for each kind of place: folders, buckets and references of kerchunk.

``sources`` and ``ends`` import it; it builds on ``model`` and ``folders``.
"""
