"""Addresses of datasets: their grammar, and the block store behind each.

It imports ``errors`` and :mod:`ipld_castore`. ``_repository``, ``_io``, ``_xarray`` and the command may import it.
"""
