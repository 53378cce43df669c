"""Graphs of blocks: links, walks, differences and selectors, over any ``get(cid)``.

This room imports codecs, cids and errors. ``ops``, ``_cli`` and ``ipld_car`` itself may import it.
"""
