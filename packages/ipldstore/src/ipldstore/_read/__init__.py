"""How blocks are read: directly, or with prefetching where they are far away.

Uses the format; the tree and the dataset import it.
"""
