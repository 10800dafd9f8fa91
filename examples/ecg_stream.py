"""A heartbeat detector on an ECG: streamed sample by sample, and on the complete recording at once.

    pip install -e ".[examples]" && python examples/ecg_stream.py

prints the deviation between the two and draws `ecg_stream.png`. The signal is PyWavelets's: 1,024 samples at 360 Hz.
The detector is Pan and Tompkins's (IEEE Transactions on Biomedical Engineering 32(3), 1985): a band-pass filter of 5 to
15 Hz, a derivative, a square and a moving mean. All but the square are convolutions.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from jconv import Model, sequential
from jconv.layers import Activation, Conv1D

RATE = 360  # samples a second
BAND = (5.0, 15.0)  # Hz
TAPS = 121
MEAN = 54  # samples, 150 ms


def detector() -> tuple[Model, dict[str, dict[str, jax.Array]]]:
    """The network and its arrays."""
    names = ["band", "derivative", "square", "mean"]
    layers = [
        Conv1D(1, TAPS, padding="same", use_bias=False),
        Conv1D(1, 5, padding="same", use_bias=False),
        Activation(lambda x: x * x),
        Conv1D(1, MEAN, padding="causal", use_bias=False),
    ]
    time = (np.arange(TAPS) - TAPS // 2) / RATE
    low, high = (2 * edge / RATE * np.sinc(2 * edge * time) for edge in BAND)
    taps = {"band": (high - low) * np.hamming(TAPS), "derivative": np.array([-1, -2, 0, 2, 1]) * RATE / 8}
    taps["mean"] = np.full(MEAN, 1 / MEAN)
    params = {name: {"kernel": jnp.asarray(values[:, None, None], jnp.float32)} for name, values in taps.items()}
    return sequential(layers, names=names, input_shape=(None, 1)), params


def streamed(model: Model, params: dict[str, dict[str, jax.Array]], signal: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Stream the signal (length,) sample by sample: its outputs, and the sample at which each output arrived.

    The first `latency` samples give no output and are read as one chunk, so that only two programs are compiled.
    """
    step = jax.jit(lambda stream, x: model.stream_step(params, {}, stream, x))
    first = int(model.latency)
    _, stream = step(model.stream_init(params, {}, (1,)), signal[None, :first, None])
    outputs, arrivals = [], []
    for number, sample in enumerate(signal[first:], start=first):
        y, stream = step(stream, sample.reshape(1, 1, 1))
        outputs += y[0, :, 0].tolist()
        arrivals += [number] * y.shape[1]
    remaining, _ = model.stream_step(params, {}, stream, jnp.zeros((1, 0, 1)), last=True)
    outputs += remaining[0, :, 0].tolist()
    arrivals += [len(signal)] * remaining.shape[1]
    return np.array(outputs), arrivals


def main() -> None:
    import pywt

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("ecg_stream.png"), help="the picture; default %(default)s")
    options = parser.parse_args()

    signal = pywt.data.ecg().astype("float32")
    signal -= signal.mean()
    model, params = detector()
    complete = np.asarray(model.apply(params, {}, signal[None, :, None])[0])[0, :, 0]
    outputs, arrivals = streamed(model, params, signal)
    deviation = np.abs(outputs - complete).max() / np.abs(complete).max()
    late = max(now - number for number, now in enumerate(arrivals))
    milliseconds = 1e3 * float(model.latency) / RATE
    print(f"latency {model.latency} samples, {milliseconds:.0f} ms; outputs come at most {late} samples late")
    print(f"streamed and complete outputs differ by {deviation:.1e} of the largest value")
    draw(signal, complete, outputs, options.out)


def draw(signal: np.ndarray, complete: np.ndarray, outputs: np.ndarray, path: Path) -> None:
    """Draw the ECG, and below it the streamed outputs over the outputs for the complete recording."""
    import matplotlib.pyplot as plt

    seconds = np.arange(len(signal)) / RATE
    figure, (above, below) = plt.subplots(2, 1, figsize=(9, 4.5), sharex=True, layout="constrained")
    above.plot(seconds, signal, color="0.2", linewidth=1)
    above.set_ylabel("ECG")
    below.plot(seconds, complete, color="tab:orange", linewidth=4, alpha=0.5, label="complete recording")
    below.plot(seconds, outputs, color="tab:blue", linewidth=1, label="streamed, sample by sample")
    below.set_ylabel("detector")
    below.set_xlabel("seconds")
    below.set_ylim(top=1.5 * complete.max())
    below.legend(loc="upper right", ncols=2, frameon=False)
    for axes in (above, below):
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_yticks([])
        axes.margins(x=0)
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
