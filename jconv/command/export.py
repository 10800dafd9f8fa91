"""`jconv export`: the network as a program of `jax.export` that needs neither jconv nor Keras."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.export
import jax.numpy as jnp

from ..model.graph import Model
from .arrays import check_place, write
from .errors import UserError
from .opened import SOME_LENGTHS, Opened, closed, filled, is_open, opened, refusal, shown, whole_numbers

ANY = "any"
USUAL = ("cpu", "cuda")
# A network that halves its length n times and doubles it again takes multiples of 2**n.
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)


class Wish(NamedTuple):
    """The inputs' shapes for one try: the text of each for `jax.export.symbolic_shape`, and what must hold of it.

    `words` say it to the user, and `why` not more is open.
    """

    shapes: dict[str, str]
    constraints: list[str]
    words: str
    why: str = ""


def run(options: argparse.Namespace) -> int:
    """Write `options.to` for `options.file` and return the exit code."""
    if importlib.util.find_spec("flatbuffers") is None:
        raise UserError("jax.export needs flatbuffers to write a program: pip install flatbuffers")
    check_place(options.to, {"model": options.file})
    found = opened(options.file, options.max_bytes)
    exported, wish, reason = _exported(found, options)
    content = bytes(exported.serialize())
    write(options.to, content)
    inputs = ", ".join(f"{name} ({shape})" for name, shape in wish.shapes.items())
    platforms = ", ".join(exported.platforms)
    print(f"{options.to}: {len(content):,} bytes for {platforms}; {inputs}; {wish.words}")
    if wish.why:
        print(f"no other length: {reason or wish.why}")
    return 0


def _exported(found: Opened, options: argparse.Namespace) -> tuple[Any, Wish, str]:
    """The first wish that the network grants, and why it did not grant the one before, where there was one.

    Raises `UserError`, with the last one's reason, where it grants none.
    """
    reason = ""
    for wish in _wishes(found, options):
        try:
            return _export(found, wish, options.platforms), wish, reason
        except UserError:
            raise
        except Exception as error:
            # What a network does not take symbolically JAX says by many exceptions of its own.
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
    reason = reason or "no length was found that it takes"
    raise UserError(f"{options.file.name} cannot be exported so: {reason}; --length N and --batch N say a size")


def _export(found: Opened, wish: Wish, platforms: tuple[str, ...] | None) -> Any:
    model, params, state, _ = found
    whole = whole_numbers(model)
    scope = jax.export.SymbolicScope(wish.constraints)
    x: Any = {
        name: jax.ShapeDtypeStruct(
            jax.export.symbolic_shape(text, scope=scope), jnp.int32 if name in whole else jnp.float32
        )
        for name, text in wish.shapes.items()
    }
    function = jax.jit(lambda x: model.apply(params, state, x)[0])
    x = x[model.inputs[0]] if len(x) == 1 else x
    if platforms is not None:
        return jax.export.export(function, platforms=platforms)(x)
    try:
        return jax.export.export(function, platforms=USUAL)(x)
    except NotImplementedError:
        # Something in it has no program for one of them: then for this machine's alone.
        return jax.export.export(function)(x)


def _wishes(found: Opened, options: argparse.Namespace) -> Iterator[Wish]:
    """From the most open shapes to the least."""
    model, shapes = found.model, found.shapes
    batch = "batch" if options.batch in (None, ANY) else str(options.batch)
    examples = "any number of examples" if batch == "batch" else f"{batch} examples"
    if isinstance(options.length, int):
        fixed = closed(model, shapes, options.length)
        yield Wish(_texts(batch, fixed), [], f"{examples}, length {options.length}")
        return
    axes = _lengths(model, shapes, asked=options.length == ANY)
    for alike in (False, True) if len(axes) > 1 else (False,):
        if wish := _open_wish(model, shapes, axes, batch, examples, alike):
            yield wish
    if not is_open(shapes) and options.length is None:
        words = f"{examples}, the file's {'length' if axes else 'shapes'}"
        why = refusal(model, _sized(shapes, axes, SOME_LENGTHS[0])) or "the program needs to know it" if axes else ""
        yield Wish(_texts(batch, filled(shapes, 0)), [], words, why)


def _lengths(model: Model, shapes: dict[str, Any], asked: bool) -> dict[str, int]:
    """For each input that has one, which of its axes is the length: the open one, else the first of several."""
    whole = whole_numbers(model)
    axes = {}
    for name, shape in shapes.items():
        if None in shape:
            axes[name] = shape.index(None)
        elif len(shape) > 1 or (name in whole and shape):
            axes[name] = 0
    if asked and not axes:
        raise UserError(f"--length any: no input has a length, they are {shown(shapes)}")
    return axes


def _open_wish(
    model: Model, shapes: dict[str, Any], axes: dict[str, int], batch: str, examples: str, alike: bool
) -> Wish | None:
    """The lengths open: each its own symbol, or alike one; as multiples of a power of two where others are refused."""
    if not axes:
        return None

    def is_taken(length: int) -> bool:
        return refusal(model, _sized(shapes, axes, length)) is None

    some = next(filter(is_taken, SOME_LENGTHS), None)
    if some is None:
        return None
    step = next((k for k in MULTIPLES if is_taken(some + k) and is_taken(some + 3 * k)), None)
    if step is None:
        return None
    least = _least(step, some, is_taken)
    symbols = {name: "length" if alike or len(axes) == 1 else f"length{i}" for i, name in enumerate(axes)}
    texts = {}
    for name, shape in shapes.items():
        sizes = [str(size) for size in shape]
        if name in axes:
            sizes[axes[name]] = symbols[name] if step == 1 else f"{step}*{symbols[name]}"
        texts[name] = ", ".join([batch, *sizes])
    constraints = [f"{symbol} >= {least // step}" for symbol in sorted(set(symbols.values()))]
    multiple = "" if step == 1 else f" that is a multiple of {step}"
    of_all = ", the same for all inputs" if alike else ""
    return Wish(texts, constraints, f"{examples}, any length of at least {least}{multiple}{of_all}")


def _sized(shapes: dict[str, Any], axes: dict[str, int], length: int) -> dict[str, Any]:
    return {
        name: tuple(length if axes.get(name) == i or size is None else size for i, size in enumerate(shape))
        for name, shape in shapes.items()
    }


def _least(step: int, some: int, is_taken: Callable[[int], bool]) -> int:
    """The shortest multiple of `step` that is taken, by bisection below one that is."""
    low, high = 0, some // step
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if is_taken(middle * step) else (middle, high)
    return high * step


def _texts(batch: str, shapes: dict[str, Any]) -> dict[str, str]:
    return {name: ", ".join([batch, *map(str, shape)]) for name, shape in shapes.items()}
