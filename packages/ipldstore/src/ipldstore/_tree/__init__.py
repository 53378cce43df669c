"""The tree of directories: looked up, changed, and frozen into canonical nodes.

Uses the format and the readers; the dataset imports it.
"""
