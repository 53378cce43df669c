"""The tree of directories: looked up, changed, and frozen into canonical nodes.

It uses the format. ``_dataset``, ``_store`` and ``_io`` may import it.
"""
