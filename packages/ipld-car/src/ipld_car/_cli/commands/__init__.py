"""The commands of ``ipld-car``: their words, and which function of :mod:`ipld_car.ops` each calls.

Only ``main`` imports it.
"""
