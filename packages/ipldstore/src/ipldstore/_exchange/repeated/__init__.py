"""Calls that are repeated after they were interrupted: what the earlier call has done is found, and not done twice.

``_repository`` may import it, and it builds on the exchange of the head beside it.
"""
