"""The HTTP client of the IPFS node and the gateways: addresses, connections, deadlines and responses.

It knows no blocks, CIDs or retries; ``_kubo`` and ``_gateway`` import it, and it imports nothing of this package
but ``concurrency``.
"""
