"""The command ``ipld-car``.

``main`` has the group and the exit codes; ``commands_*`` say what each verb takes and prints; the other modules
do the work and know nothing of the command line. Only what runs here imports click and tqdm.
"""
