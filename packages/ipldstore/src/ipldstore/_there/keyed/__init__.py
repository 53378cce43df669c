"""Sources that have zarr's keys already, by kind: folder, zip file, bucket, server, references of kerchunk.

``sources`` and ``ends`` import it; it builds on ``model`` and ``folders``.
"""
