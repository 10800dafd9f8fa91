"""Pipelines of scikit-learn with jconv's estimators: cross-validation, and how early a series can be classified.

    pip install -e ".[examples]" && python examples/cross_validation.py

Each pipeline keeps the first samples of a series, standardizes what it kept, and classifies it: by a ridge classifier
on the samples, by Hydra, and by a fully convolutional network. `cross_val_score` fits each one five times, for complete
series and, without the network, for shorter ones. The data is GunPoint's 50 training series; its test series judge the
pipelines afterwards. Draws `cross_validation.png`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import RidgeClassifierCV
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer

from training import api
from training.estimators import FCNClassifier, HydraClassifier

LENGTHS = (30, 50, 70, 100, 150)


def standardized_start(X: np.ndarray, length: int) -> np.ndarray:
    """The first samples of each series (n, length), with mean 0 and variance 1."""
    start = X[:, :length]
    return (start - start.mean(1, keepdims=True)) / start.std(1, keepdims=True)


def pipelines(epochs: int) -> dict[str, Pipeline]:
    classifiers = {
        "ridge": RidgeClassifierCV(),
        "Hydra": HydraClassifier(random_state=0),
        "FCN": FCNClassifier(epochs=epochs, random_state=0),
    }
    start = FunctionTransformer(standardized_start, kw_args={"length": LENGTHS[-1]})
    return {name: make_pipeline(start, classifier) for name, classifier in classifiers.items()}


def at_length(pipeline: Pipeline, length: int) -> Pipeline:
    """An unfitted copy of a pipeline that keeps `length` samples."""
    return clone(pipeline).set_params(functiontransformer__kw_args={"length": length})


def main() -> None:
    import matplotlib.pyplot as plt

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("cross_validation.png"), help="default %(default)s")
    parser.add_argument("--epochs", type=int, default=100, help="epochs of the network; default %(default)s")
    options = parser.parse_args()
    data = api.load("gunpoint")
    X, y, X_test, y_test = data.x_train[:, :, 0], data.y_train, data.x_test[:, :, 0], data.y_test

    folds, tested = {}, {}
    for name, pipeline in pipelines(options.epochs).items():
        folds[name] = cross_val_score(pipeline, X, y, cv=5)
        tested[name] = pipeline.fit(X, y).score(X_test, y_test)
        print(f"{name:<5} five folds {folds[name].mean():.3f}, test series {tested[name]:.3f}")
    early = {
        name: [cross_val_score(at_length(pipelines(0)[name], length), X, y, cv=5).mean() for length in LENGTHS]
        for name in ("ridge", "Hydra")
    }

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.5), sharey=True, layout="constrained")
    for place, name in enumerate(folds):
        spread = place + np.linspace(-0.15, 0.15, len(folds[name]))
        left.plot(spread, np.sort(folds[name]), "o", color="tab:blue", label="one of five folds" if not place else "_")
        left.hlines(tested[name], place - 0.25, place + 0.25, color="k", label="test series" if not place else "_")
    left.set_xticks(range(len(folds)), list(folds))
    left.set_ylabel("accuracy")
    left.legend(frameon=False)
    for name, scores in early.items():
        right.plot(LENGTHS, scores, "o-", label=name)
    right.set_xlabel("samples of each series that are kept")
    right.set_ylabel("mean accuracy of five folds")
    right.legend(frameon=False)
    figure.savefig(options.out, dpi=110)


if __name__ == "__main__":
    main()
