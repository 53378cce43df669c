"""Repositories: branches and tags over a block store with a head, sessions that commit, merges, undo, forgetting.

It uses ``_store`` and all rooms below. ``_io``, the command and the package's ``__init__`` may import it.
"""
