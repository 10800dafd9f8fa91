"""Trees of tuples and dicts, in which Keras keeps inputs and outputs; dicts are in the order of their sorted keys."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def flatten(tree: Any) -> list[Any]:
    """The leaves of a tree.

    >>> flatten({"b": 1, "a": (2, (3,))})
    [2, 3, 1]
    """
    if isinstance(tree, dict):
        tree = tuple(tree[key] for key in sorted(tree))
    return [leaf for part in tree for leaf in flatten(part)] if isinstance(tree, tuple) else [tree]


def named_leaves(tree: Any) -> list[tuple[str | None, Any]]:
    """`(key, leaf)` of each leaf; the key is that of the outermost dict, and None for other trees.

    >>> named_leaves({"b": 1, "a": (2, 3)}), named_leaves((1, 2))
    ([('a', 2), ('a', 3), ('b', 1)], [(None, 1), (None, 2)])
    """
    items = sorted(tree.items()) if isinstance(tree, dict) else [(None, tree)]
    return [(key, leaf) for key, part in items for leaf in flatten(part)]


def map_tree(function: Callable[[Any], Any], tree: Any) -> Any:
    """The tree with `function(leaf)` in place of each leaf."""
    if isinstance(tree, dict):
        return {key: map_tree(function, part) for key, part in tree.items()}
    return tuple(map_tree(function, part) for part in tree) if isinstance(tree, tuple) else function(tree)
