"""One CAR file at a URL, read by ranges over HTTP or from a bucket.

Only the package's ``__init__`` imports it; it builds on ``_http``, ``_object`` and the CAR file of ``_backends``.
"""
