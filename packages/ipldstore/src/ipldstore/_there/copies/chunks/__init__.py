"""Where a copy gets the bytes of its chunks, and where it puts them, by kinds of ends.

Only ``copies`` imports it; it builds on the ends of a copy.
"""
