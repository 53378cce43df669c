"""The verbs of ``ipld-car``: their arguments, and which function of :mod:`ipld_car.ops` each calls.

Only ``main`` imports it.
"""
