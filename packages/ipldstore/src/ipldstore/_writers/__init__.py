"""Writers in other processes: the notes that they leave, and how the coordinator takes them in (design, section 7).

Uses the tree's notion of a key's content and the journals of :mod:`ipld_castore`; the dataset imports it.
"""
