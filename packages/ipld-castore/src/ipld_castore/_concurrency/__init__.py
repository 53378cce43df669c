"""Threads and processes: single-flight calls, ordered results, caches, forks.

Knows nothing of blocks; every other room may import it.
"""
