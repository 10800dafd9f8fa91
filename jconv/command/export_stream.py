"""`jconv export --stream`: a network chunk by chunk, as programs of `jax.export` that run without jconv or Keras.

A program has fixed shapes, but the first samples complete fewer outputs than later ones, and at the end some outputs
still wait for samples that do not come. So one program reads the first samples and creates the state, another reads
each further chunk, and a third computes the outputs that remain at the end.
"""

from __future__ import annotations

import argparse
import bisect
import json
import math
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.export
import jax.numpy as jnp

from ..atomic_files import temporary_folder, write_file
from ..model.channels_first import length_first
from ..model.streaming import Stream
from ..model.timing import ratios
from .arrays import check_output
from .errors import UserError, first_line
from .model_file import ModelFile, format_shape, load_model
from .program import export_function

MAX_FIRST_SAMPLES = 2**24


def run(options: argparse.Namespace) -> int:
    """Write the folder `options.to` for `options.file` and return the exit code."""
    folder: Path = options.to
    if options.length is not None:
        raise UserError(f"--length {options.length}: a stream has no length; leave --length out")
    if folder.exists():
        raise UserError(f"{folder} exists; --stream writes a new folder")
    check_output(folder, {})
    model = _load(options)
    exported = {name: _export(name, *program, options) for name, program in model.programs().items()}
    files = {f"{name}.stablehlo": bytes(program.serialize()) for name, program in exported.items()}
    files["stream.json"] = (json.dumps(model.timing, indent=2) + "\n").encode()
    with temporary_folder(folder) as temporary:
        finished = temporary / "finished"
        finished.mkdir()
        for name, content in files.items():
            write_file(finished / name, content)
        os.replace(finished, folder)
    size, platforms = sum(map(len, files.values())), ", ".join(exported["step"].platforms)
    print(f"{folder}: {', '.join(files)}; {size:,} bytes for {platforms}")
    short = f", short_step {model.period}" if "short_step" in exported else ""
    late = f"the outputs are {model.timing['latency']:g} samples late"
    print(f"start reads {model.first_samples} samples, step {model.chunk}{short}; {late}")
    return 0


@dataclass(frozen=True)
class StreamedModel:
    """A model that is computed chunk by chunk.

    `batch` is a number or a symbolic size. `chunk` is the number of samples per step, a multiple of `period`. After
    `period` samples, every layer waits for as many further samples as before them.
    """

    file: ModelFile
    batch: Any
    chunk: int
    period: int

    @property
    def timing(self) -> dict[str, Any]:
        """The content of `stream.json`."""
        model = self.file.model
        ratio = model.output_ratio
        return {
            "first": self.first_samples,
            "chunk": self.chunk,
            "period": self.period,
            "latency": float(model.latency),
            "outputs_per_sample": (
                {name: float(value) for name, value in ratio.items()} if isinstance(ratio, dict) else float(ratio)
            ),
        }

    @cached_property
    def first_samples(self) -> int:
        """The smallest multiple of the period after which no step changes the shapes of the state."""
        low = high = max(0, math.ceil(self.file.model.latency / self.period))
        while not self._is_steady(high):
            low, high = high + 1, 2 * high + 1
            if high * self.period > MAX_FIRST_SAMPLES:
                raise UserError(f"after {MAX_FIRST_SAMPLES:,} samples the state still changes its shapes")
        return self.period * bisect.bisect_left(range(high), True, lo=low, key=self._is_steady)

    def _is_steady(self, periods: int) -> bool:
        return _have_same_shapes(*(self.stream_after(count * self.period) for count in (periods, periods + 1)))

    def stream_after(self, samples: int) -> Stream:
        """The stream after its first samples, with shapes in place of arrays."""
        return jax.eval_shape(lambda x: self._begin(x)[1], self._chunk(samples))

    def programs(self) -> dict[str, tuple[Callable[..., Any], tuple[Any, ...]]]:
        """The functions to export by name, each with the shapes of its arguments."""
        model, params, state, _ = self.file
        stream = self.stream_after(self.first_samples)

        def start(x: Any) -> tuple[Any, tuple[jax.Array, ...]]:
            y, after = self._begin(x)
            return y, after.arrays

        def step(arrays: tuple[jax.Array, ...], x: Any) -> tuple[Any, tuple[jax.Array, ...]]:
            y, after = model.stream_step(params, state, replace(stream, arrays=arrays), x)
            assert _have_same_shapes(stream, after), "a step changes the shapes of the state"
            return y, after.arrays

        def end(arrays: tuple[jax.Array, ...]) -> Any:
            nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), self._chunk(0))
            return model.stream_step(params, state, replace(stream, arrays=arrays), nothing, last=True)[0]

        short_step = {"short_step": (step, (stream.arrays, self._chunk(self.period)))}
        return {
            "start": (start, (self._chunk(self.first_samples),)),
            "step": (step, (stream.arrays, self._chunk(self.chunk))),
            **(short_step if self.chunk > self.period else {}),
            "end": (end, (stream.arrays,)),
        }

    def _begin(self, x: Any) -> tuple[Any, Stream]:
        model, params, state, _ = self.file
        dtypes = {name: chunk.dtype for name, chunk in model.named(x).items()}
        stream = model.stream_init(params, state, (self.batch,), dtype=dtypes, chunk=self.chunk)
        return model.stream_step(params, state, stream, x)

    def _chunk(self, samples: int) -> Any:
        """The shape and type of a chunk, as a dict for several inputs."""
        model = self.file.model
        length_last = length_first(model).length_last
        chunks = {}
        for name, shape in self.file.shapes.items():
            sizes = [*shape[:-1], samples] if name in length_last else [samples, *shape[1:]]
            if None in sizes:
                raise ValueError(f"input {name!r} of shape {format_shape(shape)} has more than one unknown size")
            chunks[name] = jax.ShapeDtypeStruct((self.batch, *sizes), self.file.dtypes[name])
        return chunks if len(chunks) > 1 else chunks[model.inputs[0]]


def _load(options: argparse.Namespace) -> StreamedModel:
    """The model with the user's batch and chunk. Raises `UserError` if it cannot be streamed with them."""
    file = load_model(options)
    batch = options.batch if isinstance(options.batch, int) else jax.export.symbolic_shape("batch")[0]
    try:
        period = math.lcm(*(ratio.denominator for ratio in ratios(file.model).values() if ratio is not None))
        chunk = period if options.chunk is None else options.chunk
        # With a batch of 1, an error comes from a layer and not from a symbolic size.
        StreamedModel(file, 1, chunk, period).stream_after(0)
    except ValueError as error:
        raise UserError(f"{options.file.name} cannot be computed chunk by chunk: {first_line(error)}") from None
    if chunk % period:
        raise UserError(
            f"--chunk {chunk}: must be a multiple of {period}, so that all chunks complete equally many outputs"
        )
    return StreamedModel(file, batch, chunk, period)


def _export(name: str, function: Callable[..., Any], arguments: tuple[Any, ...], options: argparse.Namespace) -> Any:
    try:
        return export_function(function, options.platforms, *arguments)
    except Exception as error:
        # JAX raises exceptions of many classes for operations that do not support symbolic shapes.
        reason = f"{name}: {first_line(error)}"
        raise UserError(f"{options.file.name} cannot be exported: {reason}; try --batch N") from None


def _have_same_shapes(a: Stream, b: Stream) -> bool:
    shapes = [[(array.shape, array.dtype) for array in stream.arrays] for stream in (a, b)]
    return a.structure == b.structure and shapes[0] == shapes[1]
