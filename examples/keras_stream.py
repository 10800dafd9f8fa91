"""A network that Keras trained on complete series, streamed: its class probabilities after each sample of a series.

    pip install -e ".[examples]" && python examples/keras_stream.py

`docs/gun_point.keras` ends in a mean over time and a softmax. Streamed, that mean is over the samples so far, so the
probability of each class is known at any time, and after the last sample it is the network's output for the complete
series. Draws `keras_stream.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import jax
import numpy as np

import jconv.keras
from training.data import datasets, scaling

MODEL = Path(__file__).parents[1] / "docs/gun_point.keras"


def streamed(model: jconv.Model, params: dict, state: dict, x: np.ndarray) -> np.ndarray:
    """The probabilities (series, length, classes) after each sample of x (series, length, 1); NaN before the first."""
    step = jax.jit(lambda stream, x: model.stream_step(params, state, stream, x), donate_argnums=0)
    stream, outputs = model.stream_init(params, state, (len(x),)), []
    for t in range(x.shape[1]):
        y, stream = step(stream, x[:, t : t + 1])
        outputs.append(y)
    # Same padding: the last outputs wait for the end of the series.
    outputs[-1], _ = model.stream_step(params, state, stream, x[:, :0], last=True)
    return np.stack(outputs, axis=1)


def main() -> None:
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("keras_stream.png"), help="the picture; default %(default)s")
    options = parser.parse_args()
    model, params, state = jconv.keras.load(MODEL)
    data, _, _ = scaling.standardize(datasets.load("gunpoint"))
    x = data.x_test.astype("float32")
    outputs = streamed(model, params, state, x)
    complete, _ = model.apply(params, state, x)
    right = outputs.argmax(-1) == data.y_test[:, None]
    deviation = np.abs(outputs[:, -1] - complete).max()
    print(f"after the last sample, streamed and complete outputs differ by {deviation:.0e}")
    print(f"accuracy after 50, 100 and 150 samples: {right[:, [49, 99, 149]].mean(0).round(3).tolist()}")

    figure, (above, below) = plt.subplots(2, 1, figsize=(8, 5), sharex=True, layout="constrained")
    for label, color in enumerate(("tab:blue", "tab:orange")):
        chosen = np.flatnonzero(data.y_test == label)[:4]
        above.plot(x[chosen, :, 0].T, color=color, label=[f"class {data.classes[label]}", *3 * ["_"]])
        below.plot(outputs[chosen, :, 1].T, color=color)
    above.set_ylabel("series")
    above.legend(frameon=False)
    below.set_ylabel(f"probability of class {data.classes[1]}")
    below.set_xlabel("samples so far")
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
