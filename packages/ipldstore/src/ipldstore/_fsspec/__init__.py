"""The file system ``ipld`` of fsspec: UnixFS files and the keys of datasets, read by ``ipld://CID/path``.

It uses ``_address``, ``_store`` and rooms below. An entry point of the package names it; nothing imports it.
"""
