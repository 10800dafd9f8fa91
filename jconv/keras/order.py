"""The order of a Functional model's layers in Keras: by depth, then as a search from the outputs meets them.

Keras numbers the folders of equal classes in this order when it loads a config, whatever order the config has.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Call = tuple[str, int]


def keras_order(calls: Mapping[Call, Sequence[Call]], outputs: Sequence[Call]) -> list[str]:
    """Layers' names in Keras's order; `calls` are each call's parents, in the order in which it reads them.

    The depth of a call is the number of calls from it to an output on the longest path; a layer has that of its
    deepest call. Layers of one depth stand in the order in which a depth-first search from the outputs enters them.

    >>> keras_order({("x", 0): [], ("a", 0): [("x", 0)], ("b", 0): [("x", 0), ("a", 0)]}, [("b", 0)])
    ['x', 'a', 'b']
    """
    entered: dict[str, int] = {}
    finished: dict[Call, None] = {}
    for output in outputs:
        # A stack in place of recursion: a network may be deeper than Python's.
        waiting = [(output, False)]
        while waiting:
            call, done = waiting.pop()
            if done:
                finished[call] = None
            elif call not in finished:
                entered.setdefault(call[0], len(entered))
                waiting.append((call, True))
                waiting += [(parent, False) for parent in reversed(calls[call]) if parent not in finished]
    depths: dict[Call, int] = {}
    layers: dict[str, int] = {}
    for call in reversed(finished):
        depth = max(depths.get(call, 0), layers.get(call[0], 0))
        depths[call] = layers[call[0]] = depth
        for parent in calls[call]:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return sorted(layers, key=lambda name: (-layers[name], entered[name]))
