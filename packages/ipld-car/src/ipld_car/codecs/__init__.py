"""The codecs of blocks, DAG-CBOR, DAG-PB and DAG-JSON: encode and decode values, and list links.

It imports cids, varint and errors only. Every other room may import it.
"""
