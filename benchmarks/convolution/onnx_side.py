# pyright: reportMissingImports=false
# It is checked where the library is installed; the test extra does not install it.

"""ONNX Runtime's program of a row: one node with the kernel as an initializer, as in a deployed network."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from .programs import Program
from .rows import Array, Operands, Row

OPSET, IR_VERSION = 17, 8
"""Old enough for every ONNX Runtime that is supported, and enough for a convolution."""


def forward_program(row: Row, o: Operands, cores: int) -> Program:
    """The forward pass; an ensemble is one convolution with more groups, or with more examples for a shared kernel."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    options.inter_op_num_threads = 1
    # Threads that spin after a call would slow down the side that is timed next.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(model(row, o), options, providers=["CPUExecutionProvider"])
    feed = {"x": _fold(row, o.x)}
    call = partial(session.run, None, feed)
    return Program(call, call, lambda result: (_unfold(row, result[0]),))


def model(row: Row, o: Operands) -> bytes:
    """The serialized model: x to y, both (batch, channels, time)."""
    kernels = 1 if row.shared_kernel else row.ensemble
    weights = np.swapaxes(o.kernel, -1, -3)
    weights = np.ascontiguousarray(weights.reshape(-1, *weights.shape[-2:]))
    attributes: dict[str, Any] = {
        "strides": [row.stride],
        "dilations": [row.dilation],
        "group": row.groups * kernels,
        "pads": list(row.amounts),
        "kernel_shape": [row.kernel_size],
    }
    if row.transposed:
        attributes["output_padding"] = [max(row.stride - row.reach, 0)]
    node = helper.make_node("ConvTranspose" if row.transposed else "Conv", ["x", "kernel"], ["y"], **attributes)
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, _fold(row, o.x).shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, None, None])
    graph = helper.make_graph([node], "convolution", [x], [y], [numpy_helper.from_array(weights, "kernel")])
    opset = [helper.make_opsetid("", OPSET)]
    return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION).SerializeToString()


def _fold(row: Row, x: Array) -> Array:
    """(ensemble, batch, time, channels) as (batch, ensemble * channels, time) or (ensemble * batch, channels, time)."""
    x = np.swapaxes(x, -1, -2)
    if row.shared_kernel:
        x = x.reshape(-1, *x.shape[-2:])
    elif row.ensemble > 1:
        x = np.moveaxis(x, 0, 1).reshape(row.batch, -1, x.shape[-1])
    return np.ascontiguousarray(x)


def _unfold(row: Row, y: Array) -> Array:
    if row.shared_kernel:
        y = y.reshape(row.ensemble, row.batch, *y.shape[-2:])
    elif row.ensemble > 1:
        y = np.moveaxis(y.reshape(row.batch, row.ensemble, -1, y.shape[-1]), 1, 0)
    return np.swapaxes(y, -1, -2)
