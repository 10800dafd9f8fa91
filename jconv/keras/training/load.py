"""A compiled model's file into what training needs to go on as if Keras had gone on."""

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
from ..read.folders import with_folders
from ..read.graph import Built
from .activity import read_activity
from .compiled import Compiled, options_of, serialized_loss, serialized_optimizer
from .compiled_loss import CompiledLoss, read_loss, read_outputs
from .constraints import Constraint, constrain, read_constraints
from .optimizer import Rule, read_optimizer
from .optimizer_state import Listed, filled, read_counts, read_slots, trained_arrays
from .regularizers import read_penalty
from .schedules import Schedule
from .state import Training


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
    """The optimizer with its state, the loss and the penalties of a compiled model's file, of Keras 3 or 2.

    Training goes on where Keras stopped, each step by Keras's own rule::

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

    A model with layers that draw, such as Dropout, needs `training.objective(..., key=key)`; its draws are not Keras's.

    Optimizers are SGD, Adam, AdamW, RMSprop, Adagrad and Lion with all their options: clipping, weight decay, moving
    averages, accumulated gradients, Keras's schedules. Constraints of weights are part of the optimizer. The state is
    made of optax's own: `ScaleByAdamState`, `TraceState`, `EmaState`, ... `learning_rate` takes the place of the
    file's: a number, or a function of the count of steps done. `optimizer`, one of optax's, takes the place of the
    file's whole optimizer, whatever that is, and begins afresh; the constraints still follow it. The file need then not
    be of a compiled model.

    Where Keras keeps a moving average of the params (`use_ema`), its `fit` puts that in their place when it ends; here
    it stays in the state, `EmaState.ema`.

    Three things a file does not say, and Keras forgets them too when it loads one: which weights were taken out of the
    weight decay, the `delta` of a Huber loss, and the axis of a cosine similarity.

    Raises `NotCompiledError` for a model that was not compiled, and `KerasFileError`, of which that is one, for what
    jconv does not have: other optimizers, a scaled loss in float16. A loss of
    the user's own, or over outputs with a mask, is no error: `loss` is then None. A `learning_rate` that is no number
    of float32 is a `ValueError`. `custom_layers`, `custom_activations`, `input_shape` and `max_bytes` are as for
    `load`, and so are the other errors.
    """
    if optimizer is not None and learning_rate is not None:
        raise ValueError("learning_rate must not be given beside an optimizer, which has its own")
    if learning_rate is not None and not callable(learning_rate):
        learning_rate = _finite(learning_rate, "learning_rate", ValueError)
    what = os.fspath(path)
    with open_contents(path, max_bytes) as contents:
        built = read_graph(contents, what, custom_layers or {}, custom_activations, input_shape)
        params, _ = read_arrays(built.root, contents)
        constraints = read_constraints(built.root)
        config = _compiled(contents, what, optimizer is None)
        if optimizer is None:
            made = _read(config.optimizer, built, contents, params, constraints, learning_rate)
        else:
            chain = optax.chain(optimizer, constrain(constraints)) if constraints else optimizer
            made = _Made("optax", chain, chain.init(params), None, None, None, "it is one of yours")
        penalty, activity = read_penalty(built.root), read_activity(built.root, built.model)
    own, why = _loss(config.loss, config.weights, built, contents.config or {})
    losses = {} if own is None else {term.output: serialized_loss(term.value, "loss") for term in own.terms}
    compiled = Compiled(made.serialized, made.why, losses, options_of(built.root))
    return Training(
        with_folders(built),
        made.name,
        made.optimizer,
        made.state,
        own,
        why,
        penalty,
        activity,
        made.schedule,
        made.rule,
        compiled,
    )


class _Compiled(NamedTuple):
    """The optimizer, the loss and its weights, as the file has them."""

    optimizer: Any
    loss: Any
    weights: Any


class _Made(NamedTuple):
    """What `Training` has of the optimizer."""

    name: str
    optimizer: optax.GradientTransformation
    state: Any
    schedule: Schedule | None
    rule: Rule | None
    serialized: dict[str, Any] | None
    why: str


def _read(
    value: Any,
    built: Built,
    contents: Contents,
    params: Tree,
    constraints: dict[tuple[str, str], Constraint],
    learning_rate: float | Callable[[Any], Any] | None,
) -> _Made:
    """The file's optimizer with its state."""
    rule = read_optimizer(value, "optimizer", constraints, older=contents.is_keras_2)
    _check_scaling(rule, built.model)
    listed = Listed(contents)
    trained = trained_arrays(built.root)
    steps, rate = read_counts(rule, listed, len(trained))
    slots = read_slots(rule, listed, trained, params)
    rate = None if rate is None else _finite(rate, "optimizer: learning_rate", KerasFileError)
    used = learning_rate if learning_rate is not None else rule.schedule or rate
    assert used is not None
    schedule = _as_schedule(used)
    # A schedule, also where it is constant, so that there is always a count of steps in the state.
    made = rule.make(schedule)
    state = filled(made.init(params), slots, steps, rule.accumulation)
    own = learning_rate if learning_rate is not None or rule.schedule is not None else rate
    return _Made(rule.name, made, state, schedule, rule, *serialized_optimizer(value, "optimizer", own))


def _compiled(contents: Contents, what: str, wanted: bool) -> _Compiled:
    """What the model was compiled with; where an optimizer is not `wanted`, also nothing."""
    config = contents.training or {}
    optimizer = config.get("optimizer_config" if contents.by_layer is not None else "optimizer")
    if wanted and optimizer is None:
        raise NotCompiledError(f"{what} was not compiled: it has no optimizer and no loss to go on with")
    return _Compiled(optimizer, config.get("loss"), config.get("loss_weights"))


def _check_scaling(rule: Rule, model: Model) -> None:
    halves = [node.name for node in model.nodes if isinstance(node.layer, InDtype) and node.layer.dtype == "float16"]
    if rule.scales and halves:
        raise KerasFileError(
            f"optimizer: loss_scale_factor scales the loss of layers in float16, {halves[0]!a} first, which jconv "
            "does not do"
        )


def _loss(value: Any, weights: Any, built: Built, config: Mapping[str, Any]) -> tuple[CompiledLoss | None, str | None]:
    """The loss, or None and why there is none."""
    outputs = read_outputs(config, built.model.outputs)
    try:
        loss = read_loss(value, weights, outputs, "loss")
    except KerasFileError as error:
        return None, str(error)
    if loss is None:
        return None, "the model was compiled without a loss"
    masked = [built.model.outputs[position] for position in built.masked]
    found = next((term.output for term in loss.terms if term.output in masked), None)
    if found is not None:
        return None, f"Keras leaves out of the loss what the mask of the output {found!a} leaves out; jconv does not"
    return loss, None


def _finite(rate: Any, what: str, error: type[ValueError]) -> float:
    """The rate as a float. Raises an `error` for one that is no finite number in the type that JAX computes in."""
    dtype = jnp.zeros(()).dtype
    # Whole numbers may be greater than all floats.
    with suppress(TypeError, ValueError, OverflowError):
        if abs(float(rate)) <= float(jnp.finfo(dtype).max):
            return float(rate)
    raise error(f"{what} must be a finite number of {dtype.name}, got {shortened(rate)}")


def _as_schedule(rate: float | Callable[[Any], Any]) -> Schedule:
    if callable(rate):
        return rate
    return lambda count: jnp.full(jnp.shape(count), rate)
