"""What every test needs before its imports: the Keras backend, and property tests that are the same at every run."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

from hypothesis import settings

# Each new geometry is compiled, so no example has a deadline.
settings.register_profile("jconv", deadline=None, derandomize=True, max_examples=25)
settings.load_profile("jconv")
