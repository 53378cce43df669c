"""Block codecs: dag-cbor, dag-pb and DAG-JSON, each with its values and its links.

Uses CIDs, varints and errors; every other room may import it.
"""
