"""The history format (history.md): commits, jumps, states and names, read and written as blocks.

Uses the block format for documents and keys, and any ``get(cid)``; knows no stores and no sessions.
"""
