"""How many threads every side of a comparison has. It imports nothing, so a process of one library stays that."""

import os


def cores() -> int:
    """The cores this process may use, which is how many threads JAX has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
