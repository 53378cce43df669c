"""The HTTP client of nodes, gateways and archives at URLs: addresses, connections, deadlines and responses.

It knows no blocks, CIDs or retries, and imports ``concurrency`` only. ``_kubo``, ``_gateway`` and ``_remote`` may
import it.
"""
