"""Graphs of blocks: links, walks, differences and selectors, over any ``get(cid)``.

Uses the codecs alone.
"""
