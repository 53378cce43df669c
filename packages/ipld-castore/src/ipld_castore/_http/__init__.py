"""The HTTP client of the IPFS node and the gateways: connections, deadlines, bodies.

Knows no blocks and no retries; ``_kubo`` and ``_gateway`` import it.
"""
