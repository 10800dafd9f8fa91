"""Loading what is needed to continue the training of a compiled model."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

import jax.numpy as jnp
import optax

from ...layers import InDtype
from ...layers.base import Activation
from ...model.graph import Model, Tree
from ..files.container import Contents, open_contents
from ..files.errors import KerasFileError, NotCompiledError
from ..kinds.config import shortened
from ..read.file import MAX_BYTES, CustomLayers, read_arrays, read_graph
from ..read.loaded_model import BuiltModel, with_folders
from .compiled_loss import CompiledLoss, read_loss, read_output_names
from .constraints import Constraint, constrain, read_constraints
from .optimizer import ParsedOptimizer, read_optimizer
from .optimizer_state import ArrayReader, fill_state, read_slots, read_step_and_rate, trainable_arrays
from .regularizers import read_activity_penalty, read_weight_penalty
from .schedules import Schedule
from .state import Training
from .write import CompileConfig, serialize_loss, serialize_optimizer, serialize_options


def load_training(
    path: str | os.PathLike[str],
    *,
    learning_rate: float | Callable[[Any], Any] | None = None,
    optimizer: optax.GradientTransformation | None = None,
    custom_layers: CustomLayers | None = None,
    custom_activations: Mapping[str, Activation] | None = None,
    input_shape: Sequence[int | None] | None = None,
    max_bytes: int = MAX_BYTES,
) -> Training:
    """The optimizer with its state, the loss and the penalties of a compiled model's file, from Keras 3 or 2.

    Training continues where Keras stopped, with the same update rules::

        import jax, optax
        import jconv.keras

        model, params, state = jconv.keras.load("some.keras")
        training = jconv.keras.load_training("some.keras")
        slots = training.state

        @jax.jit
        def step(params, state, slots, x, y):
            bars, (output, state) = jax.grad(training.objective, has_aux=True)(params, state, x, y)
            updates, slots = training.optimizer.update(bars, slots, params)
            return optax.apply_updates(params, updates), state, slots

    A model with random layers such as Dropout needs `training.objective(..., key=key)`; its random numbers differ from
    Keras's.

    Supported are SGD, Adam, AdamW, RMSprop, Adagrad and Lion with all options: clipping, weight decay, moving averages,
    gradient accumulation, and Keras's schedules. Constraints of weights are part of the optimizer. The state consists
    of optax's own classes, such as `ScaleByAdamState`, `TraceState` and `EmaState`. If Keras keeps a moving average of
    the params (`use_ema`), it stays in the state as `EmaState.ema`; Keras's `fit` replaces the params by it at the end.

    A file does not contain three things, which Keras's own `load_model` loses too: the weights excluded from weight
    decay, the `delta` of a Huber loss, and the axis of a cosine similarity.

    Args:
      path: the file, as for `load`.
      learning_rate: replaces the learning rate of the file: a number, or a function of the number of steps done.
      optimizer: an optax optimizer that replaces the optimizer of the file, with a new state. The constraints are
        applied after it. The model in the file need not be compiled.
      custom_layers, custom_activations, input_shape, max_bytes: as for `load`.

    Returns:
      A `Training`. Its `loss` is None if the file's loss is not part of Keras or not supported, for example for an
      output with a mask.

    Raises:
      NotCompiledError: for a model that was not compiled.
      KerasFileError: for something that jconv does not support: another optimizer, or loss scaling in float16.
      ValueError: for a `learning_rate` that is not a finite number of float32; also the errors of `load`.
    """
    if optimizer is not None and learning_rate is not None:
        raise ValueError("learning_rate must not be given together with an optimizer, which has its own")
    if learning_rate is not None and not callable(learning_rate):
        learning_rate = _finite(learning_rate, "learning_rate", ValueError)
    name = os.fspath(path)
    with open_contents(path, max_bytes) as contents:
        built = read_graph(contents, name, custom_layers or {}, custom_activations, input_shape)
        params, _ = read_arrays(built.root, contents)
        constraints = read_constraints(built.root)
        config = contents.training or {}
        if optimizer is None:
            serialized = config.get("optimizer_config" if contents.by_layer is not None else "optimizer")
            if serialized is None and config.get("loss") is None:
                raise NotCompiledError(f"{name} was not compiled: it has no optimizer and no loss to continue with")
            if serialized is None:
                # Keras removes the optimizer from the config of a model that it saves as `.h5`.
                raise KerasFileError(
                    f"{name} has a loss and no optimizer, which Keras loses if it saved the model as .h5 before; save "
                    "the .keras file first, or pass one of optax's optimizers as optimizer="
                )
            loaded = _load_optimizer(serialized, built, contents, params, constraints, learning_rate)
        else:
            chain = optax.chain(optimizer, constrain(constraints)) if constraints else optimizer
            loaded = _LoadedOptimizer("optax", chain, chain.init(params), None, None, (None, "it is one of yours"))
        penalty, activity = read_weight_penalty(built.root), read_activity_penalty(built.root, built.model)
    loss, why_no_loss = _read_loss(config.get("loss"), config.get("loss_weights"), built, contents.config or {})
    losses = {} if loss is None else {term.output: serialize_loss(term.value) for term in loss.terms}
    return Training(
        with_folders(built),
        loaded.name,
        loaded.optimizer,
        loaded.state,
        loss,
        why_no_loss,
        penalty,
        activity,
        loaded.schedule,
        loaded.parsed,
        CompileConfig(*loaded.serialized, losses, serialize_options(built.root)),
    )


class _LoadedOptimizer(NamedTuple):
    """The optimizer for a `Training`; `serialized` is the result of `serialize_optimizer`."""

    name: str
    optimizer: optax.GradientTransformation
    state: Any
    schedule: Schedule | None
    parsed: ParsedOptimizer | None
    serialized: tuple[dict[str, Any] | None, str]


def _load_optimizer(
    value: Any,
    built: BuiltModel,
    contents: Contents,
    params: Tree,
    constraints: dict[tuple[str, str], Constraint],
    learning_rate: float | Callable[[Any], Any] | None,
) -> _LoadedOptimizer:
    """The file's optimizer with its state."""
    parsed = read_optimizer(value, constraints, is_keras_2=contents.is_keras_2)
    _check_loss_scaling(parsed, built.model)
    reader = ArrayReader(contents)
    arrays = trainable_arrays(built.root)
    steps, rate = read_step_and_rate(parsed, reader, len(arrays))
    slots = read_slots(parsed, reader, arrays, params)
    rate = rate if callable(rate) else _finite(rate, "optimizer: learning_rate", KerasFileError)
    used = rate if learning_rate is None else learning_rate
    # A schedule even if the rate is constant, since only with a schedule does the state have a step count.
    schedule = used if callable(used) else lambda count: jnp.full(jnp.shape(count), used)
    optimizer = parsed.make(schedule)
    state = fill_state(optimizer.init(params), slots, steps, parsed.accumulation)
    # A schedule of the file is written as it was.
    serialized = serialize_optimizer(value, learning_rate if callable(rate) else used)
    return _LoadedOptimizer(parsed.name, optimizer, state, schedule, parsed, serialized)


def _check_loss_scaling(optimizer: ParsedOptimizer, model: Model) -> None:
    names = [node.name for node in model.nodes if isinstance(node.layer, InDtype) and node.layer.dtype == "float16"]
    if optimizer.scales_loss and names:
        raise KerasFileError(
            f"optimizer: loss_scale_factor scales the loss for layers in float16, such as {names[0]!a}; jconv does not "
            "support this"
        )


def _read_loss(
    value: Any, weights: Any, built: BuiltModel, config: Mapping[str, Any]
) -> tuple[CompiledLoss | None, str | None]:
    """The loss, or None and the reason why there is none."""
    names = built.model.outputs
    keras_names = read_output_names(config, names)
    try:
        loss = read_loss(value, weights, names, keras_names)
    except KerasFileError as error:
        return None, str(error)
    if loss is None:
        return None, "the model was compiled without a loss"
    masked = [names[position] for position in built.masked]
    output = next((term.output for term in loss.terms if term.output in masked), None)
    if output is not None:
        return None, f"the output {output!a} has a mask, which Keras applies to the loss and jconv does not"
    return loss, None


def _finite(rate: Any, what: str, error: type[ValueError]) -> float:
    """The rate as a float. Raises an `error` unless it is finite in JAX's default type."""
    dtype = jnp.zeros(()).dtype
    # An integer may be larger than every float.
    with suppress(TypeError, ValueError, OverflowError):
        if abs(float(rate)) <= float(jnp.finfo(dtype).max):
            return float(rate)
    raise error(f"{what} must be a finite number of {dtype.name}, got {shortened(rate)}")
