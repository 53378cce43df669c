"""Collecting garbage: which blocks of a store are not needed, and their deletion beside running writers.

It uses ``_writers`` and ``_dataset``. ``_repository`` and ``_io`` may import it.
"""
