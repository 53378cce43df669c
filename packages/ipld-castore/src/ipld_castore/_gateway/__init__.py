"""The backend over trustless gateways.

Uses the core and the HTTP client; callers get it from :mod:`ipld_castore`.
"""
