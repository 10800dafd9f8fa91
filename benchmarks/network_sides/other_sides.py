"""The same file in Keras on PyTorch and TensorFlow, and in ONNX Runtime: only the forward pass."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras

from ..shared.machine import cores
from ..shared.timing import Call
from .side import NetworkSide


class _Loaded(NetworkSide):
    def __init__(self, file: str) -> None:
        super().__init__()
        self.model: Any = keras.saving.load_model(file, compile=False)
        self.input_shape, self.output_shape = self.model.input_shape[1:], self.model.output_shape[1:]


class Torch(_Loaded):
    """`torch.compile` of the model on PyTorch."""

    def forward(self, x: Any) -> Call:
        """See `NetworkSide`."""
        import torch  # pyright: ignore[reportMissingImports]

        compiled, x = torch.compile(self.model), torch.from_numpy(x)

        @torch.inference_mode()
        def call() -> Any:
            return compiled(x, training=False).numpy()

        call()
        return call


class TensorFlow(_Loaded):
    """`tf.function` of the model on TensorFlow."""

    def __init__(self, file: str) -> None:
        import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

        # TensorFlow accepts this before it has variables.
        tf.config.threading.set_inter_op_parallelism_threads(1)
        super().__init__(file)

    def forward(self, x: Any) -> Call:
        """See `NetworkSide`."""
        import tensorflow as tf  # pyright: ignore[reportMissingImports, reportMissingModuleSource]

        compiled, x = tf.function(lambda x: self.model(x, training=False)), tf.constant(x)
        return lambda: compiled(x).numpy()


class Onnx(_Loaded):
    """ONNX Runtime, with the model exported by PyTorch."""

    def forward(self, x: Any) -> Call:
        """See `NetworkSide`."""
        import onnxruntime  # pyright: ignore[reportMissingImports]
        import torch  # pyright: ignore[reportMissingImports]

        self.model.eval()
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "model.onnx")
            torch.onnx.export(self.model, (torch.from_numpy(x),), file, dynamo=False)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = cores()
            session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        named = {session.get_inputs()[0].name: x}
        return lambda: session.run(None, named)[0]


SIDES: dict[str, Callable[[str], NetworkSide]] = {"torch": Torch, "tensorflow": TensorFlow, "onnx": Onnx}
