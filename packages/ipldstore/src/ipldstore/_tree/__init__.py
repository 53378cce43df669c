"""The tree of directories: looked up, changed, and frozen into canonical nodes.

It uses the format and the readers, and the dataset may import it.
"""
