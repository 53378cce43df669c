"""xarray over datasets: the engine ``ipldstore``, and the accessor ``ds.ipld``.

It uses ``_io`` and all rooms below. Entry points of the package name it, and ``__init__`` registers its accessor when
xarray is imported; nothing else imports it.
"""
