"""`jconv export`: the network as a program of `jax.export` that runs without jconv or Keras."""

from __future__ import annotations

import argparse
import bisect
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.export

from ..atomic_files import write_file
from ..model.graph import Model
from ..model.nodes import TRIAL_LENGTHS
from . import export_stream
from .arrays import check_output
from .errors import UserError, first_line
from .model_file import ModelFile, Shapes, choose_sizes, format_shapes, has_unknown_size, load_model
from .program import check_flatbuffers, export_function

ANY = "any"
# A network that halves its length n times and doubles it again accepts multiples of 2**n.
STEPS = (1, 2, 4, 8, 16, 32, 64)


class Signature(NamedTuple):
    """Input shapes to try: for each input a text for `jax.export.symbolic_shape`, and constraints on its symbols.

    `description` is for the user; `why_fixed` is the reason if the program accepts only one length.
    """

    shapes: dict[str, str]
    constraints: list[str]
    description: str
    why_fixed: str = ""


def run(options: argparse.Namespace) -> int:
    """Write `options.to` for `options.file` and return the exit code."""
    check_flatbuffers()
    if options.stream:
        return export_stream.run(options)
    if options.chunk is not None:
        raise UserError(f"--chunk {options.chunk}: only a stream has chunks; add --stream or leave --chunk out")
    check_output(options.to, {"model": options.file})
    file = load_model(options)
    exported, signature, error = _export_first(file, options)
    content = bytes(exported.serialize())
    write_file(options.to, content)
    inputs = ", ".join(f"{name} ({shape})" for name, shape in signature.shapes.items())
    platforms = ", ".join(exported.platforms)
    print(f"{options.to}: {len(content):,} bytes for {platforms}; {inputs}; {signature.description}")
    if signature.why_fixed:
        print(f"no other length: {error or signature.why_fixed}")
    return 0


def _export_first(file: ModelFile, options: argparse.Namespace) -> tuple[Any, Signature, str]:
    """`(program, signature, error)` for the first signature that the network accepts.

    `error` is the reason why the signature before it was refused; "" if there was none. Raises `UserError`, with the
    last reason, if the network accepts no signature.
    """
    message = ""
    for signature in _signatures(file, options):
        try:
            return _export(file, signature, options.platforms), signature, message
        except UserError:
            raise
        except Exception as error:
            # JAX raises exceptions of many classes for operations that do not support symbolic shapes.
            message = first_line(error)
    message = message or "found no length that it accepts"
    raise UserError(f"{options.file.name} cannot be exported: {message}; try --length N or --batch N")


def _export(file: ModelFile, signature: Signature, platforms: tuple[str, ...] | None) -> Any:
    model, params, state, _ = file
    scope = jax.export.SymbolicScope(signature.constraints)
    x: Any = {
        name: jax.ShapeDtypeStruct(jax.export.symbolic_shape(text, scope=scope), file.dtypes[name])
        for name, text in signature.shapes.items()
    }
    x = x[model.inputs[0]] if len(x) == 1 else x
    return export_function(lambda x: model.apply(params, state, x)[0], platforms, x)


def _signatures(file: ModelFile, options: argparse.Namespace) -> Iterator[Signature]:
    """The signatures to try, those with the most symbolic sizes first."""
    model, shapes = file.model, file.shapes
    batch = "batch" if options.batch == ANY else str(options.batch)
    examples = "any number of examples" if batch == "batch" else f"{batch} examples"
    if isinstance(options.length, int):
        fixed = choose_sizes(model, shapes, options.length)
        yield Signature(_to_texts(batch, fixed), [], f"{examples}, length {options.length}")
        return
    axes = _length_axes(model, shapes)
    if options.length == ANY and not axes:
        raise UserError(f"--length any: no input has a length; their shapes are {format_shapes(shapes)}")
    for is_shared in (False, True) if len(axes) > 1 else (False,):
        if signature := _symbolic_length(model, shapes, axes, batch, examples, is_shared):
            yield signature
    if not has_unknown_size(shapes) and options.length is None:
        description, why_fixed = f"{examples}, the file's {'length' if axes else 'shapes'}", ""
        if axes:
            reason = model.why_refused(_with_length(shapes, axes, TRIAL_LENGTHS[0]))
            why_fixed = reason or "the program needs a fixed length"
        yield Signature(_to_texts(batch, shapes), [], description, why_fixed)


def _length_axes(model: Model, shapes: Shapes) -> dict[str, int]:
    """The length axis of each input with one: the axis of unknown size, else axis 0 of several axes or of integers."""
    integers = model.integer_inputs()
    axes = {}
    for name, shape in shapes.items():
        if None in shape:
            axes[name] = shape.index(None)
        elif len(shape) > 1 or (name in integers and shape):
            axes[name] = 0
    return axes


def _symbolic_length(
    model: Model, shapes: Shapes, axes: dict[str, int], batch: str, examples: str, is_shared: bool
) -> Signature | None:
    """The signature with symbolic lengths, one for all inputs if `is_shared`; None if the network refuses it.

    If the network accepts only multiples of a power of two, so does the signature.
    """
    if not axes:
        return None

    def is_accepted(length: int) -> bool:
        return model.why_refused(_with_length(shapes, axes, length)) is None

    trial = next(filter(is_accepted, TRIAL_LENGTHS), None)
    if trial is None:
        return None
    step = next((k for k in STEPS if is_accepted(trial + k) and is_accepted(trial + 3 * k)), None)
    if step is None:
        return None
    multiples = range(0, trial, step)
    shortest = step * bisect.bisect_left(multiples, True, lo=1, key=is_accepted)
    symbols = {name: "length" if is_shared or len(axes) == 1 else f"length{i}" for i, name in enumerate(axes)}
    symbolic_shapes = {name: list(shape) for name, shape in shapes.items()}
    for name, symbol in symbols.items():
        symbolic_shapes[name][axes[name]] = symbol if step == 1 else f"{step}*{symbol}"
    constraints = [f"{symbol} >= {shortest // step}" for symbol in sorted(set(symbols.values()))]
    multiple = "" if step == 1 else f" that is a multiple of {step}"
    shared = ", the same for all inputs" if is_shared else ""
    texts = _to_texts(batch, symbolic_shapes)
    return Signature(texts, constraints, f"{examples}, any length of at least {shortest}{multiple}{shared}")


def _with_length(shapes: Shapes, axes: dict[str, int], length: int) -> Shapes:
    return {
        name: tuple(length if axes.get(name) == i or size is None else size for i, size in enumerate(shape))
        for name, shape in shapes.items()
    }


def _to_texts(batch: str, shapes: Shapes) -> dict[str, str]:
    return {name: ", ".join([batch, *map(str, shape)]) for name, shape in shapes.items()}
