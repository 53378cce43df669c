"""One archive in a file: its layout, its sections, random access, appending, recovery after a crash.

This room imports ``_car``, ``fs`` and the public modules. ``_ranges``, ``ops`` and ``ipld_car`` itself may import it.
"""
