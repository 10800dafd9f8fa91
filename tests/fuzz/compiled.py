"""Configs of compiled models, which together have every training option that jconv reads."""

from __future__ import annotations

from typing import Any

from jconv.keras.training.losses import LOSSES, SHORT_NAMES
from jconv.keras.training.update_rules import OPTIMIZERS
from tests.support.keras_crafted import CONV, functional, layer

SCHEDULES: tuple[Any, ...] = (
    0.1,
    {"class_name": "ExponentialDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 9, "decay_rate": 0.5}},
    {"class_name": "CosineDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 9, "warmup_target": 0.2}},
    {"class_name": "CosineDecayRestarts", "config": {"initial_learning_rate": 0.1, "first_decay_steps": 9}},
    {"class_name": "PiecewiseConstantDecay", "config": {"boundaries": [3, 5], "values": [0.1, 0.2, 0.3]}},
    {"class_name": "PolynomialDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 9, "cycle": True}},
    {"class_name": "InverseTimeDecay", "config": {"initial_learning_rate": 0.1, "decay_steps": 9, "decay_rate": 0.5}},
)
SHARED = {"weight_decay": 0.01, "clipnorm": 1.0, "use_ema": True, "ema_momentum": 0.9, "gradient_accumulation_steps": 2}
REGULARIZERS: dict[str, Any] = {
    "kernel_regularizer": {"class_name": "L1L2", "config": {"l1": 0.1, "l2": 0.2}},
    "bias_regularizer": {"class_name": "L2", "config": {"l2": 0.2}},
    "kernel_constraint": {"class_name": "MinMaxNorm", "config": {"min_value": 0.1, "max_value": 2.0, "axis": [0, 1]}},
    "bias_constraint": {"class_name": "MaxNorm", "config": {"max_value": 2, "axis": 0}},
}


def compiled_configs() -> dict[str, Any]:
    """Configs of a compiled model of one convolution, by name."""
    found = {}
    losses = [loss for loss in LOSSES if loss not in SHORT_NAMES]
    for number, optimizer in enumerate(OPTIMIZERS):
        rate = SCHEDULES[number % len(SCHEDULES)]
        options = {"learning_rate": rate, "epsilon": 1e-7, "momentum": 0.9, "beta_1": 0.9, "beta_2": 0.99, "rho": 0.9}
        known = {"SGD": ("momentum",), "RMSprop": ("momentum", "rho", "epsilon"), "Adagrad": ("epsilon",)}
        known |= {"Lion": ("beta_1", "beta_2")}
        kept = ("learning_rate", *known.get(optimizer, ("beta_1", "beta_2", "epsilon")))
        own = {"class_name": optimizer, "config": {name: options[name] for name in kept} | SHARED}
        own |= {"module": "keras.optimizers", "registered_name": None}
        loss = {"class_name": losses[number % len(losses)], "config": {"reduction": "sum", "name": "loss"}}
        loss |= {"module": "keras.losses", "registered_name": None}
        model = functional(layer("Conv1D", "conv1d", CONV | REGULARIZERS))
        found[optimizer] = model | {"compile_config": {"optimizer": own, "loss": loss, "loss_weights": None}}
    for number, loss in enumerate(losses):
        sgd = {"class_name": "SGD", "config": {"learning_rate": SCHEDULES[number % len(SCHEDULES)]}}
        compiled = {
            "optimizer": sgd,
            "loss": {"conv1d": {"class_name": loss, "config": {}}},
            "loss_weights": {"conv1d": 2},
        }
        found[loss] = functional(layer("Conv1D", "conv1d", CONV)) | {"compile_config": compiled}
    return found
