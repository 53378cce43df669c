"""Roots of other makers: zarr on UnixFS, HAMTs and sharded stores of py-hamt, plain maps; read and never written.

``recognition`` says what a root is. Rooms from ``_dataset`` upwards may import it.
"""
