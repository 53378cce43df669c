"""The names of a repository and how they move: commits and states that are written, and the exchange of the head.

It uses ``_revisions`` and the history format, and knows no stores. ``_repository`` may import it.
"""
