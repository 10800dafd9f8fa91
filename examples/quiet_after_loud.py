"""A quiet passage after a loud one: what a local algorithm keeps and an FFT loses.

    pip install -e ".[examples]" && python examples/quiet_after_loud.py

The first half of a signal is a million times louder than the second. With jconv's default the error of each output is
bounded by the size of its own terms. `algorithm="fft"`, which `"fastest"` may choose, computes blocks of outputs
together, so rounding errors of the loud samples reach quiet outputs. A NaN shows the same: by default it affects only
the outputs that read it. Draws `quiet_after_loud.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import jconv

LENGTH, TAPS, LOUDER = 4096, 256, 1e6


def main() -> None:
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("quiet_after_loud.png"), help="default %(default)s")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.standard_normal((LENGTH, 1)).astype("float32")
    x[: LENGTH // 2] *= LOUDER
    params = {"kernel": rng.standard_normal((TAPS, 1, 1)).astype("float32")}
    exact = jconv.reference.conv1d(params, x, padding="causal")[:, 0]
    # The bound of each output is relative to the same sum over absolute values.
    sizes = jconv.reference.conv1d({"kernel": abs(params["kernel"])}, abs(x), padding="causal")[:, 0]
    quiet = np.arange(LENGTH) >= LENGTH // 2 + TAPS
    poisoned = x.copy()
    poisoned[1000] = np.nan

    figure, axes = plt.subplots(figsize=(9, 3.5), layout="constrained")
    for algorithm, color in (("auto", "tab:blue"), ("fft", "tab:orange")):
        y = np.asarray(jconv.conv1d(params, x, padding="causal", algorithm=algorithm))[:, 0]
        error = abs(y - exact) / sizes / 2**-24
        hit = np.isnan(jconv.conv1d(params, poisoned, padding="causal", algorithm=algorithm)).sum()
        print(f"{algorithm:<5} largest error of a quiet output {error[quiet].max():.3g} units, NaN in {hit} outputs")
        axes.semilogy(error + 1e-3, color=color, linewidth=0.6, label=f'algorithm="{algorithm}"')
    axes.axhline(64, color="0.3", linestyle=":", label="the bound")
    axes.axvspan(0, LENGTH // 2, color="0.92")
    axes.set_xlabel(f"output; the grey half is {LOUDER:.0e} times louder")
    axes.set_ylabel("error, units of 2^-24 of its own sum")
    axes.legend(frameon=False, loc="upper left")
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
