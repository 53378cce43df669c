"""The CAR format as streams: headers, sections, readers, writers and indexes.

Uses the codecs; knows no files by path and no graphs.
"""
