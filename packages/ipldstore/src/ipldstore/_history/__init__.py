"""The history format (history.md): commits, jumps, states and names, read and written as blocks.

It uses the block format and any ``get(cid)``, and knows no stores and no sessions. All rooms above may import it.
"""
