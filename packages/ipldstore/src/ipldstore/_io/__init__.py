"""Datasets in files and folders: opened, locked, compacted, copied, referenced.

It uses all rooms below. Only the package's ``__init__`` imports it.
"""
