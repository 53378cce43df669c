"""A gateway on this machine over anything that `open` takes: blocks and CARs for programs, pages for browsers.

Needs the extra `serve`. Imported by `_cli` alone.
"""
