"""The canonical root of any contents, with the links that are canonical already taken over.

``_store`` and the rooms above it import it; it builds on ``_dataset``.
"""
