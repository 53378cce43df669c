"""How the writer of a process puts its notes: their numbers, records that several keys share, changes under way.

``_writers`` beside it imports ``writer`` and ``sequence``.
"""
