"""The plan and task for options, and the errors for options that cannot be combined."""

import numpy as np
import pytest

from training.commands import from_options
from training.data.datasets import load
from training.errors import UserError
from training.options.options import parse


def _plan(*arguments):
    return from_options.build_run(parse(arguments)).plan


def test_the_default_plan():
    plan = _plan()
    assert (plan.schedule, plan.keep, plan.watch, plan.precision) == ("cosine", "last", "training", None)
    assert plan[10:] == (1, None, 0, 0.0, None, None, 1) and plan.evaluate_every == 8
    assert _plan("--precision", "float32") == _plan("--x64") == plan
    assert _plan("--optimizer", "adamw").weight_decay == 1e-4
    assert _plan("--optimizer", "adamw", "--weight-decay", "0").weight_decay == 0
    assert _plan("--optimizer", "sgd", "--weight-decay", "0.01").weight_decay == 0.01


def test_early_stopping_watches_the_validation_loss_if_there_is_one():
    plan = _plan("--early-stopping", "7")
    assert (plan.keep, plan.watch, plan.early_stopping) == ("best", "training", 7)
    plan = _plan("--early-stopping", "7", "--validation", "0.2")
    assert (plan.keep, plan.watch, plan.evaluate_every) == ("best", "validation", 1)


def test_options_can_be_added_to_a_protocol():
    plan = _plan("--protocol", "dl4tsc", "--warm-up", "3", "--ema", "0.9")
    assert (plan.schedule, plan.warm_up, plan.ema, plan.keep) == ("plateau", 3, 0.9, "best")


def test_balanced_class_weights_are_inverse_to_the_counts():
    options = parse(["--class-weights", "balanced", "--data", "cbf"])
    task = from_options.task_for(options, load("cbf"))
    counts = np.bincount(task.train.y)
    assert task.loss.keywords["weights"] == pytest.approx(len(task.train.y) / (3 * counts))


ANOTHER = "is for cross-entropy, but the task has another loss"
INVALID = {
    ("--precision", "float16", "--x64"): "--precision float16 cannot be combined with --x64, which trains in float64",
    ("--accumulate", "11"): "--accumulate 11 batches of 5 are 55 examples, more than the 50 training examples",
    ("--warm-up", "4", "--epochs", "4"): "--warm-up 4 must be less than the 4 epochs of the run",
    ("--early-stopping", "3", "--keep", "last"): "--early-stopping keeps the best params, so it cannot be combined "
    "with --keep last",
    ("--model", "two-layer", "--class-weights", "balanced"): f"--class-weights {ANOTHER}",
    ("--task", "regression", "--label-smoothing", "0.1"): f"--label-smoothing {ANOTHER}",
}


@pytest.mark.parametrize("arguments", INVALID, ids=" ".join)
def test_options_that_cannot_be_combined_raise(arguments):
    with pytest.raises(UserError) as error:
        _plan(*arguments)
    assert str(error.value) == INVALID[arguments]
