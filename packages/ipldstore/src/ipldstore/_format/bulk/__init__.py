"""Many links of one chunk index at once, in numpy: codes, splits, leaves, and the index of them.

Whatever may import ``_format`` may import it; nothing in ``_format`` outside this folder does.
"""
