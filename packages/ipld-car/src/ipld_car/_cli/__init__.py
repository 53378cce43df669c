"""The command ``ipld-car``: words in, words out, nothing else; what it does is in :mod:`ipld_car.ops`.

Nothing imports it; only here click and tqdm are imported, when the command runs.
"""
