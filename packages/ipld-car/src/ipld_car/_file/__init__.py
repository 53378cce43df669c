"""One archive in a file: random access, appending, recovery after a crash.

Uses the CAR format and file-system helpers; the operations and the command use it.
"""
