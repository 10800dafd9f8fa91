"""What every test needs before its imports: Keras's backend, eight devices, and property tests that never vary."""

import atexit
import os
import shutil
import tempfile
from collections import Counter

import jax
import numpy as np
import pytest
from hypothesis import settings

os.environ.setdefault("KERAS_BACKEND", "jax")

# One folder, removed by the process that starts pytest's workers; they have its environment.
if "PYTEST_XDIST_WORKER" not in os.environ:
    here = tempfile.mkdtemp(prefix="jconv-tests-")
    atexit.register(shutil.rmtree, here, ignore_errors=True)
    # Many commands run the same programs, each in a process of its own: what takes long to compile is compiled once.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.path.join(here, "jax")
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0.2"
    # XLA's own passes are all there, LLVM tries less hard: a sixth of the time of a whole run, measured.
    if "JCONV_TEST_HALF" in os.environ:
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=1")
# What jconv.tune measured on this machine must not choose for the tests.
os.environ["JCONV_CACHE_DIR"] = tempfile.mkdtemp(dir=os.path.dirname(os.environ["JAX_COMPILATION_CACHE_DIR"]))

# Simulated ones, for the sharding tests; everything else runs on the first.
jax.config.update("jax_num_cpu_devices", 8)

# Each new geometry is compiled, so no example has a deadline.
examples = 15 if "JCONV_TEST_HALF" not in os.environ else 5
settings.register_profile("jconv", deadline=None, derandomize=True, max_examples=examples)
settings.load_profile("jconv")


@pytest.fixture
def quick_compile():
    """For hundreds of programs that each run once: what is tested is their meaning, not their speed."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def quick_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keras draws nothing where a test sets all weights itself: each draw of another shape is a program to compile."""
    from keras.src.initializers import random_initializers

    def constant(self: object, shape: tuple[int, ...], dtype: str | None = None) -> object:
        return np.full(shape, 0.1, dtype or "float32")

    for name in ("VarianceScaling", "Orthogonal", "RandomUniform"):
        monkeypatch.setattr(getattr(random_initializers, name), "__call__", constant)


# Tables that compile for minutes, recurrent layers and attentions above all: where time is short, a few of each do.
LONG = (
    "test_activations.py::",
    "test_algorithms.py::test_half_types",
    "test_algorithms.py::test_random_settings_agree_with_the_reference",
    "test_algorithms.py::test_the_faces_compiled",
    "test_algorithms.py::test_the_table_of_the_design",
    "test_benchmarks_ucr",
    "test_bilinear",
    "test_command_verify",
    "test_conv.py::test_a_long_sum",
    "test_conv.py::test_the_gradient_of_the_bias",
    "test_conv.py::test_windows_in_jax",
    "test_conv_general_dilated.py::test_flax",
    "test_conv_general_dilated.py::test_random_calls",
    "test_cross_check",
    "test_explain.py::test_every_padding",
    "test_keras_activation.py::test_equals_keras",
    "test_keras_activity.py::test_the_objective_and_its_gradient",
    "test_keras_attention",
    "test_keras_config_attacks",
    "test_keras_losses.py::test_losses",
    "test_keras_meaning",
    "test_keras_multi_head_attention",
    "test_keras_nested.py::test_arrays_alone_fit_both",
    "test_keras_networks",
    "test_keras_normalization",
    "test_keras_operations",
    "test_keras_policies",
    "test_keras_recurrent",
    "test_keras_saved_training.py::test_keras_goes_on",
    "test_keras_small",
    "test_keras_streaming",
    "test_keras_training.py::test_goes_on_as_keras",
    "test_keras_two.py::test_equals_keras",
    "test_keras_two.py::test_hard_sigmoid",
    "test_keras_two.py::test_what_real",
    "test_keras_two_training",
    "test_keras_wiring",
    "test_keras_wrappers",
    "test_layers.py::test_values",
    "test_layers_activation.py::test_a_layer_as",
    "test_layers_activation.py::test_half_types",
    "test_layers_attention.py::test_masked_values",
    "test_layers_attention.py::test_values",
    "test_layers_merging.py::test_dot_equals",
    "test_layers_normalization.py::test_values",
    "test_layers_ragged.py::test_packed_equals_each_alone",
    "test_layers_ragged.py::test_ragged_equals_each_alone",
    "test_layers_recurrent.py::test_over_devices",
    "test_layers_recurrent.py::test_values",
    "test_layers_transparent.py::test_channels_first",
    "test_layers_wrappers.py::test_both_ways",
    "test_length_first",
    "test_model_ragged.py::test_equals_each_sequence_alone",
    "test_model_stream",
    "test_partitioned",
    "test_ragged.py::test_equals_each_sequence_alone",
    "test_ragged.py::test_the_other_convolutions",
    "test_sharding",
    "test_shifts.py::test_every_form",
    "test_slots",
    "test_stream_programs",
    "test_streaming",
    "test_training_augment",
    "test_training_checkpoints",
    "test_training_devices",
    "test_training_diverged",
    "test_training_finetune",
    "test_training_folds",
    "test_training_networks",
    "test_training_predict.py::test_answers",
    "test_training_processes",
    "test_training_proof",
    "test_training_protocols",
    "test_training_resume",
    "test_training_samples",
    "test_training_seeds",
    "test_training_shard_length",
    "test_training_step",
    "test_training_sweep",
    "test_training_unequal",
    "test_tune.py::test_later_calls",
    "test_winograd.py::test_every_kind",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With `JCONV_TEST_HALF=0` or `1`, half of the suite: of each file half its tests, of each test half its cases.

    Of the long tables one half has the first of sixteen cases and the other the ninth, turn and turn about.
    """
    half = os.environ.get("JCONV_TEST_HALF")
    if half is None:
        return
    seen: Counter[str] = Counter()
    long: dict[str, int] = {}
    kept, left = [], []
    for item in items:
        test, _, case = item.nodeid.partition("[")
        # The cases of a test are counted by themselves, and so are, in a file, the tests without cases.
        counted = test if case else test.partition("::")[0]
        number = seen[counted]
        seen[counted] += 1
        if any(name in test for name in LONG):
            turn = long.setdefault(counted, len(long)) % 2
            share = {0: turn, 8: 1 - turn}.get(number % 16)
        else:
            # By the parity of the number's bits: every other case would be one and the same value of an option of two.
            share = number.bit_count() % 2
        (kept if share == int(half) else left).append(item)
    items[:] = kept
    config.hook.pytest_deselected(items=left)
