"""Datasets as people look at them: outlines of a hierarchy as text and HTML, and the bars of long work.

Knows zarr's interface of a store and plain values, no blocks and no other room. All rooms may import it; `page` knows
no zarr.
"""
