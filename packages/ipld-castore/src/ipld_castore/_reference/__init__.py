"""Blocks that are byte ranges of files which stay where they are: the index of such blocks, and the store over it.

Only the package's ``__init__`` imports it; it builds on the range readers of ``_remote`` and the stores of ``_object``.
"""
