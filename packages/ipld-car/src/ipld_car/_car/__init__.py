"""The CAR format over streams and buffers: headers, sections, readers, writers and indexes.

This room imports codecs, hashes, cids, varint, streams and errors. ``_file``, ``_ranges``, ``ops`` and ``_cli`` may
import it.
"""
