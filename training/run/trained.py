"""A trained network, read from its run folder: a function of series, in the units of the data."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jconv import Model, default_algorithm

from ..arrays import Array
from ..core import ensemble
from ..data.datasets import sample_mask
from ..data.scaling import normalize_samples
from ..errors import UserError, first_line
from ..networks import NETWORKS, variable_length
from . import run_folder

# Series are predicted in batches, so that memory does not grow with their number.
BATCH = 256


class Trained(NamedTuple):
    """A trained network, with everything needed for predictions.

    `kind` is a name in `tasks.TASKS`. `shape` is (length, channels) of the training inputs, which are windows if the
    task is a forecast. `length` is the length of the longest training series, and `is_fixed` says whether all have it.
    `channels_first` says whether the training arrays were (n, channels, length) in their file. `scaling` is the mean
    and standard deviation of each channel; with `normalize_series`, each series was first standardized separately.
    `target` is the mean and standard deviation of the targets of a regression. A forecast has `ahead` samples of
    `channels`, counted from 0. Arrays of an ensemble of `members` have a leading axis.
    """

    name: str
    kind: str
    network: str
    outputs: int
    shape: tuple[int, int]
    classes: tuple[str, ...]
    scaling: tuple[Array, Array]
    normalize_series: bool = False
    target: tuple[float, float] = (0.0, 1.0)
    ahead: int = 0
    channels: tuple[int, ...] = ()
    members: int = 1
    x64: bool = False
    length: int = 0
    is_fixed: bool = True
    channels_first: bool = False
    algorithm: str = "auto"
    params: Any = None
    state: Any = None


def read(folder: Path) -> Trained:
    """The network of a run of `training.fit`.

    Raises `UserError` for a folder that is not a run folder, has no params yet, or was written by another version, and
    for a network from a Keras file, which `jconv run` reads.
    """
    config = run_folder.read_json(folder, run_folder.CONFIG)
    if config is None:
        raise UserError(f"{folder}: not a run folder, {run_folder.CONFIG} is missing or cannot be read")
    if config.get("model") not in NETWORKS:
        raise UserError(f"{folder}: its network is from a file; use jconv run {folder / run_folder.MODEL}")
    params, state = read_arrays(folder)
    try:
        return _trained(folder, config, params, state)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{folder}: {run_folder.CONFIG} is not what this version writes") from None


def read_arrays(folder: Path) -> tuple[Any, Any]:
    """`(params, state)` of a run. Raises `UserError` where they are missing or damaged."""
    if not (folder / run_folder.PARAMS).is_file():
        raise UserError(
            f"{folder}: has no {run_folder.PARAMS}; a run writes it when it ends, with --folds in each fold's folder"
        )
    try:
        return run_folder.read_params(folder)
    except OSError as error:
        raise UserError(f"{folder / run_folder.PARAMS}: cannot be read: {error.strerror or error}") from None
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError) as error:
        why = f"it is empty or damaged: {first_line(error)}"
        raise UserError(f"{folder / run_folder.PARAMS}: cannot be read, {why}") from None


def _trained(folder: Path, config: dict[str, Any], params: Any, state: Any) -> Trained:
    kind, (length, channels) = config["task"], config["series_shape"]
    horizon, targets = config.get("horizon", 0), tuple(channel - 1 for channel in config.get("target_channels", ()))
    outputs = {"regression": 1, "forecast": horizon * len(targets), "denoise": channels}
    return Trained(
        str(folder),
        kind,
        config["model"],
        outputs.get(kind, len(config["classes"])),
        (config.get("window", length), channels),
        tuple(config["classes"]),
        (np.array(config["channel_mean"]), np.array(config["channel_deviation"])),
        config["options"]["protocol"] is not None,
        (config.get("target_mean", 0.0), config.get("target_deviation", 1.0)),
        horizon,
        targets,
        config["members"],
        config["x64"],
        length,
        not config["unequal_lengths"],
        config["options"].get("channels") == "first",
        config["options"].get("algorithm", "auto"),
        params,
        state,
    )


def model_for(trained: Trained, length: int, lengths: Array | None = None) -> Model:
    """The model for series of that length, or of unequal `lengths` (n,), padded to it.

    Raises `UserError` if its arrays are for another length, or if it requires one length.
    """
    shape = length, trained.shape[1]
    try:
        model = NETWORKS[trained.network].build(trained.outputs, shape)
        wanted = jax.eval_shape(lambda: model.init(jax.random.key(0), shape))
    except ValueError as error:
        raise UserError(f"{trained.name}: {length} samples are too few for {trained.network}: {error}") from None
    own = jax.tree.map(lambda a: a.shape[trained.members > 1 :], (trained.params, trained.state))
    if own != jax.tree.map(lambda a: a.shape, wanted):
        raise UserError(
            f"{trained.name}: {trained.network} has arrays for series of {trained.shape[0]} samples, and these have "
            f"{length}"
        )
    if lengths is not None:
        variable_length.check(trained.name, model, shape, np.unique(lengths).tolist())
    return model


def predict(trained: Trained, model: Model, x: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
    """The predictions for series x (n, length, channels), which are padded after `lengths` (n,) samples.

    Classification gives probabilities (n, classes), segmentation (n, length, classes), an ensemble their mean;
    regression gives values (n,), forecasting (n, horizon, target channels), denoising (n, length, channels).
    """
    x = standardize(trained, jnp.asarray(x, _dtype(trained)), lengths)
    return in_units(trained, outputs(trained, model, x, lengths))


def predict_in_batches(
    trained: Trained, outputs: Callable[[Array, Array | None], Any], x: Array, lengths: Array | None
) -> Array:
    """`predict` of all series in NumPy, a batch at a time; `outputs(x, lengths)` are those of standardized series.

    Series are standardized in float64, as for training: rounded to float32 first, series far from zero, as times in
    seconds since 1970, would lose their last digits. Raises `UserError` for values that the network cannot compute
    with.
    """
    parts = []
    for at in range(0, len(x), BATCH):
        own = None if lengths is None else lengths[at : at + BATCH]
        batch = np.asarray(x[at : at + BATCH], np.float64)
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = standardize(trained, batch, own).astype(_dtype(trained))
        bad = ~np.isfinite(scaled).all((1, 2))
        if bad.any():
            number = int(bad.argmax())
            largest = f"values up to {np.nanmax(abs(batch[number])):g}, too far from those of the training series"
            why = "missing values" if np.isnan(scaled[number]).any() else largest
            raise UserError(f"{trained.name}: series {at + number + 1} has {why}")
        parts.append(in_units(trained, np.asarray(outputs(scaled, own))))
    return np.concatenate(parts)


def standardize(trained: Trained, x: Any, lengths: Any = None) -> Any:
    """Series as the network takes them, in arrays of NumPy or JAX, with zeros in the padding."""
    xp = jnp if isinstance(x, jax.Array) else np
    # The number of series may be symbolic.
    inside = (xp.ones(x.shape[:2], bool) if lengths is None else sample_mask(x, lengths))[..., None]
    x = xp.where(inside, x, 0)
    if trained.normalize_series:
        x = normalize_samples(x, inside)
    mean, deviation = (xp.asarray(numbers, x.dtype) for numbers in trained.scaling)
    return xp.where(inside, (x - mean) / deviation, 0)


def outputs(trained: Trained, model: Model, x: jax.Array, lengths: jax.Array | None = None) -> jax.Array:
    """The outputs of the network, or the combined outputs of an ensemble; probabilities if classes are learned."""

    def one(params: Any, state: Any) -> jax.Array:
        return variable_length.outputs(model, params, state, x, lengths)

    trees = jax.tree.map(jnp.asarray, (trained.params, trained.state))
    several = trained.members > 1
    with default_algorithm(trained.algorithm):
        y = ensemble.combine_outputs(jax.vmap(one)(*trees), bool(trained.classes)) if several else one(*trees)
    return jax.nn.softmax(y) if trained.classes else y


def in_units(trained: Trained, y: Any) -> Any:
    """Outputs in the units of the data, in arrays of NumPy, then float64, or of JAX."""
    if trained.classes:
        return y
    if trained.kind == "regression":
        return trained.target[0] + trained.target[1] * _precise(y[:, 0])
    mean, deviation = trained.scaling
    if trained.kind == "forecast":
        chosen = np.array(trained.channels)
        mean, deviation = mean[chosen], deviation[chosen]
        y = y.reshape(y.shape[0], len(chosen), trained.ahead).swapaxes(1, 2)
    return _precise(y) * deviation + mean


def _precise(y: Any) -> Any:
    return y if isinstance(y, jax.Array) else y.astype(np.float64)


def _dtype(trained: Trained) -> Any:
    return jax.tree.leaves(trained.params)[0].dtype
