"""Histories as they are read: which commit a text names, logs and their drawing, what is wrong with a history.

It uses the history format and a block store, and writes nothing. ``_dataset`` and all rooms above may import it.
"""
