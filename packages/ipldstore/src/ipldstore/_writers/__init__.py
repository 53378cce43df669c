"""Writers in other processes: the notes that they leave, and how the coordinator takes them in (design, section 7).

It uses the format and the journals of :mod:`ipld_castore`. ``_dataset`` and ``_store`` may import it.
"""
