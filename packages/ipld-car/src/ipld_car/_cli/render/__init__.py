"""How results are printed, for people and as JSON.

The commands import it.
"""
