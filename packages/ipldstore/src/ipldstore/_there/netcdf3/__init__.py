"""NetCDF-3 as a source: its header, and the arrays that it describes.

``sources`` imports it; it builds on ``model``.
"""
