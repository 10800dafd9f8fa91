"""The order of a Functional model's layers and calls in Keras.

Keras numbers the folders of layers of one class in the order of `layer_order`, whatever their order in the config. When
it runs the model, it makes the calls in the order of `run_order`. Both orders sort by depth, the number of calls on the
longest path from a call to an output. They differ for calls of equal depth.

Calls are `(layer, number)`; `calls` maps each to its parents, the calls whose outputs it reads, in order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Call = tuple[str, int]
Calls = Mapping[Call, Sequence[Call]]


def layer_order(calls: Calls, outputs: Sequence[Call]) -> list[str]:
    """The names of the layers in Keras's order.

    A layer has the depth of its deepest call. Layers of equal depth are in the order in which a depth-first search from
    the outputs enters them.

    >>> layer_order({("x", 0): [], ("a", 0): [("x", 0)], ("b", 0): [("x", 0), ("a", 0)]}, [("b", 0)])
    ['x', 'a', 'b']
    """
    entered = dict.fromkeys(layer for layer, _ in _search(calls, outputs)[1])
    depths = _depths(calls, outputs)[1]
    return sorted(entered, key=lambda name: -depths[name])


def run_order(calls: Calls, outputs: Sequence[Call]) -> list[Call]:
    """The calls in the order in which Keras runs them. The graph must not have cycles.

    >>> run_order({("x", 0): [], ("a", 0): [("x", 0)], ("b", 0): [("x", 0)]}, [("a", 0), ("b", 0)])
    [('x', 0), ('b', 0), ('a', 0)]
    """
    depths = _depths(calls, outputs)[0]
    return sorted(depths, key=lambda call: -depths[call])


def computable(calls: Calls, given: set[Call]) -> dict[Call, None]:
    """The calls that can be computed from the calls `given`, each after its parents; calls on a cycle cannot."""
    missing = {call: set(parents) - given for call, parents in calls.items()}
    readers: dict[Call, list[Call]] = {}
    for call, parents in missing.items():
        for parent in parents:
            readers.setdefault(parent, []).append(call)
    found = [call for call, parents in missing.items() if not parents]
    # The list grows while the loop runs.
    for call in found:
        for reader in readers.get(call, []):
            missing[reader].discard(call)
            if not missing[reader]:
                found.append(reader)
    return dict.fromkeys(found)


def _search(calls: Calls, outputs: Sequence[Call]) -> tuple[dict[Call, None], dict[Call, None]]:
    """The calls in the orders in which a depth-first search from the outputs leaves and enters them."""
    entered: dict[Call, None] = {}
    left: dict[Call, None] = {}
    for output in outputs:
        # A stack in place of recursion: a network may be deeper than Python's stack.
        waiting = [(output, False)]
        while waiting:
            call, parents_done = waiting.pop()
            if parents_done:
                left[call] = None
            elif call not in left:
                entered[call] = None
                waiting.append((call, True))
                waiting += [(parent, False) for parent in reversed(calls[call]) if parent not in left]
    return left, entered


def _depths(calls: Calls, outputs: Sequence[Call]) -> tuple[dict[Call, int], dict[str, int]]:
    """The depth of each call, in the order in which Keras finds them, and of each layer."""
    depths: dict[Call, int] = {}
    layers: dict[str, int] = {}
    for call in reversed(_search(calls, outputs)[0]):
        depth = max(depths.get(call, 0), layers.get(call[0], 0))
        depths[call] = layers[call[0]] = depth
        for parent in calls[call]:
            depths[parent] = max(depth + 1, depths.get(parent, 0))
    return depths, layers
