"""One archive of which ranges of bytes can be read: a file on a server, an object in a bucket.

It uses the CAR format, and the scanner and headers of ``_file``; only the package's ``__init__`` imports it.
"""
