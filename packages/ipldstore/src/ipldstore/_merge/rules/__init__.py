"""The rules of a three-way merge, and the tree that they come to.

``merge`` and ``shift`` beside it may import it.
"""
