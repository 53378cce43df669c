"""Links of the chunks of an array in bulk, as numpy arrays: setting them, and giving them back.

``_store`` and the rooms above it import it; it builds on ``_dataset``.
"""
