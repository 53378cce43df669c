"""Whether every byte below a root is there and right, what of which array is lost, and fetching it from elsewhere.

It uses ``_merge`` and the rooms below. ``_store`` and all rooms above it may import it.
"""
