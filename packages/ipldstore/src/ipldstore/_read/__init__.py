"""How blocks are read: directly, or with prefetching where they are far away.

It uses the format. All rooms above may import it.
"""
