"""What every test needs before its imports: Keras's backend, eight devices, and property tests that never vary."""

import os
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")
# What jconv.tune measured on this machine must not choose for the tests.
os.environ["JCONV_CACHE_DIR"] = os.path.join(tempfile.gettempdir(), f"jconv-tests-{os.getpid()}")

import jax
from hypothesis import settings

# Simulated ones, for the sharding tests; everything else runs on the first.
jax.config.update("jax_num_cpu_devices", 8)

# Each new geometry is compiled, so no example has a deadline.
settings.register_profile("jconv", deadline=None, derandomize=True, max_examples=15)
settings.load_profile("jconv")
