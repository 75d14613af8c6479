"""How a process leaves the group it worked in."""

import time

GRACE = 0.5
"""Seconds without Python's lock in which a process group's thread frees what it holds; it needs some milliseconds."""


def let_threads_end() -> None:
    """Wait before the group is left.

    torch frees a gloo group with Python's lock held, and waits there for the group's own thread, which may want that
    lock to free the tensors of the last collective: both then wait for ever. So the thread goes first.
    """
    time.sleep(GRACE)
