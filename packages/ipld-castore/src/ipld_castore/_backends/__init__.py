"""Backends on this machine, and one store before another.

Uses the core; callers get the backends from :mod:`ipld_castore`.
"""
