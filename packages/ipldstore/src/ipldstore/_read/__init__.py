"""How blocks are read: directly, or with prefetching where they are far away.

It uses the format, and the tree, the dataset and the store may import it.
"""
