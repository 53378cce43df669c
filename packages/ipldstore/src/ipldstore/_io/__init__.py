"""Datasets in files and folders: opened, locked, compacted, copied, referenced.

Uses the store; nothing but the package's ``__init__`` imports it.
"""
