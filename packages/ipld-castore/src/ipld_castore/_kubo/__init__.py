"""The backend over an IPFS node, by Kubo's RPC.

Uses the core and the HTTP client; callers get it from :mod:`ipld_castore`.
"""
