"""One archive in a file: its layout, its sections, random access, appending, recovery after a crash.

It uses the CAR format and the file-system helpers; the operations, and nothing else of this package, use it.
"""
