"""Heights of jumps: how a commit reaches any ancestor in few steps (history.md, section 2).

The heights are those of the skew-binary numbers: a height is the sum of the largest numbers ``2**k - 1`` that fit,
taken one after the other, and a jump goes down by the last of them.
"""

from __future__ import annotations


def jump_height(height: int) -> int:
    """Return J(height), the height that the jump of a commit leads to.

    >>> [jump_height(height) for height in range(16)]
    [0, 0, 1, 0, 3, 4, 3, 0, 7, 8, 7, 10, 11, 10, 7, 0]
    """
    rest, step = height, 0
    while rest:
        step = (1 << ((rest + 1).bit_length() - 1)) - 1
        rest -= step
    return height - step


def has_jump(height: int) -> bool:
    """Return whether a commit of a height holds a jump: where it leads further than to the first parent."""
    return height > 0 and jump_height(height) < height - 1
