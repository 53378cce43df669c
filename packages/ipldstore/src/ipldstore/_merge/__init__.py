"""Differences of two roots, and three-way merges of roots (design, section 9): pure functions over canonical trees.

It knows roots and a block store, no branches and no heads. ``_store`` and the rooms above it may import it.
"""
