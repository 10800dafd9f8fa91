"""The order of a Functional model's layers in Keras: by depth, then as a search from the outputs meets them.

Keras numbers the folders of equal classes in this order when it loads a config, whatever order the config has. When it
runs the model it makes the calls by depth too, but those of one depth in another order.
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
    for call in _searched(calls, outputs)[1]:
        entered.setdefault(call[0], len(entered))
    layers = _depths(calls, outputs)[1]
    return sorted(layers, key=lambda name: (-layers[name], entered[name]))


def keras_calls(calls: Mapping[Call, Sequence[Call]], outputs: Sequence[Call]) -> list[Call]:
    """The calls in the order in which Keras makes them when the model runs; none may lead to itself.

    >>> keras_calls({("x", 0): [], ("a", 0): [("x", 0)], ("b", 0): [("x", 0)]}, [("a", 0), ("b", 0)])
    [('x', 0), ('b', 0), ('a', 0)]
    """
    depths = _depths(calls, outputs)[0]
    return sorted(depths, key=lambda call: -depths[call])


def ready_calls(calls: Mapping[Call, Sequence[Call]], given: set[Call]) -> dict[Call, None]:
    """The calls of which each has what it reads, of those before it or of `given`; others lead to themselves."""
    waiting = {call: set(read) - given for call, read in calls.items()}
    readers: dict[Call, list[Call]] = {}
    for call, read in waiting.items():
        for need in read:
            readers.setdefault(need, []).append(call)
    found = [call for call, read in waiting.items() if not read]
    # The list grows as it is walked.
    for call in found:
        for reader in readers.get(call, []):
            waiting[reader].discard(call)
            if not waiting[reader]:
                found.append(reader)
    return dict.fromkeys(found)


def _searched(calls: Mapping[Call, Sequence[Call]], outputs: Sequence[Call]) -> tuple[list[Call], list[Call]]:
    """The calls as a depth-first search from the outputs leaves them, and as it enters them."""
    entered: dict[Call, None] = {}
    finished: dict[Call, None] = {}
    for output in outputs:
        # A stack in place of recursion: a network may be deeper than Python's.
        waiting = [(output, False)]
        while waiting:
            call, done = waiting.pop()
            if done:
                finished[call] = None
            elif call not in finished:
                entered[call] = None
                waiting.append((call, True))
                waiting += [(parent, False) for parent in reversed(calls[call]) if parent not in finished]
    return list(finished), list(entered)


def _depths(calls: Mapping[Call, Sequence[Call]], outputs: Sequence[Call]) -> tuple[dict[Call, int], dict[str, int]]:
    """The depth of each call, in the order in which Keras comes upon them, and of each layer."""
    depths: dict[Call, int] = {}
    layers: dict[str, int] = {}
    for call in reversed(_searched(calls, outputs)[0]):
        depth = max(depths.get(call, 0), layers.get(call[0], 0))
        depths[call] = layers[call[0]] = depth
        for parent in calls[call]:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return depths, layers
