"""Stores of blocks as such: the verbs of a backend, the verbs of callers, verification, transfer.

Knows no backend and no network; the backends import it.
"""
