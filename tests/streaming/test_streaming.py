"""A streamed convolution equals the convolution of the complete signal, in values and gradients."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jconv
from jconv import streaming
from jconv.streaming.buffers import ShiftBuffer
from jconv.streaming.overlap_add import OverlapAdd
from jconv.streaming.ring_buffer import RingBuffer
from jconv.streaming.timing import OutputTiming

CAUSAL = {"padding": "causal", "dilation": 2}


@pytest.fixture
def x64():
    with jax.enable_x64(True):
        yield


def drawn(seed: int, *shape: int, dtype: str = "float64") -> np.ndarray[Any, Any]:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def params_of(
    convolution: Callable[..., Any], kernel_size: int, groups: int = 1, dtype: str = "float64"
) -> dict[str, Any]:
    shapes = {
        jconv.conv1d: {"kernel": (kernel_size, 4 // groups, 6), "bias": (6,)},
        jconv.depthwise_conv1d: {"kernel": (kernel_size, 4, 2), "bias": (8,)},
        jconv.separable_conv1d: {"depthwise_kernel": (kernel_size, 4, 2), "pointwise_kernel": (1, 8, 3)},
        jconv.conv1d_transpose: {"kernel": (kernel_size, 3, 4), "bias": (3,)},
    }
    return {name: drawn(i, *shape, dtype=dtype) for i, (name, shape) in enumerate(shapes[convolution].items())}


def streamed(
    params: Any,
    x: Any,
    chunks: Sequence[int],
    *,
    flush: bool = True,
    begun: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """The outputs for `x` in chunks of these lengths and a last chunk of the rest; `begun`: options of `init`."""
    state = streaming.init(params, x.shape[:-2], dtype=x.dtype, **(begun or {}), **options)
    step = jax.jit(partial(streaming.step, **options), static_argnames="last")
    outputs, at = [], 0
    for length in [*chunks, x.shape[-2] - sum(chunks)]:
        last = not flush and at + length == x.shape[-2]
        y, state = step(params, state, x[..., at : at + length, :], last=last)
        outputs.append(y)
        at += length
    return jnp.concatenate([*outputs, *([streaming.flush(params, state, **options)] if flush else [])], axis=-2)


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    names = [jconv.conv1d, jconv.depthwise_conv1d, jconv.separable_conv1d, jconv.conv1d_transpose]
    convolution = draw(st.sampled_from(names))
    stride = draw(st.sampled_from([1, 1, 2, 3]))
    options: dict[str, Any] = {
        "convolution": convolution,
        "stride": stride,
        "dilation": draw(st.sampled_from([1, 2, 5])),
    }
    if convolution is jconv.conv1d_transpose:
        options["padding"] = draw(st.sampled_from(["valid", "same"]))
        options["output_padding"] = draw(st.sampled_from([None, *range(stride)]))
    else:
        options["padding"] = draw(st.sampled_from(["causal", "valid", "same", "full", (3, 1), (12, 0)]))
    groups = draw(st.sampled_from([1, 2])) if convolution is jconv.conv1d else 1
    options |= {"groups": groups} if convolution is jconv.conv1d else {}
    length = 3 * draw(st.integers(6, 12))
    length -= length % stride
    chunks = draw(st.lists(st.sampled_from([0, 1, 1, 2, 4, 7]), max_size=6))
    length = max(length, sum(chunks) + (-sum(chunks)) % stride)
    return {
        "options": options,
        "kernel_size": draw(st.sampled_from([1, 2, 3, 4])),
        "groups": groups,
        "length": length,
        "chunks": chunks,
        "begun": {
            "form": draw(st.sampled_from(["auto", "ring", "shifted"])),
            "chunk": draw(st.sampled_from([1, 2, 4])),
        },
        "flush": draw(st.booleans()),
    }


@given(cases())
def test_random_chunks_of_random_geometries(case: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        convolution = case["options"]["convolution"]
        params = params_of(convolution, case["kernel_size"], case["groups"])
        x = drawn(9, 2, case["length"], 4)
        options = {name: value for name, value in case["options"].items() if name != "convolution"}
        try:
            whole = convolution(params, x, **options)
        except ValueError:
            return
        how = {"flush": case["flush"], "begun": case["begun"], **case["options"]}
        y = streamed(params, x, case["chunks"], **how)
        assert y.shape == whole.shape
        np.testing.assert_allclose(y, whole, rtol=0, atol=1e-14 * max(1.0, float(jnp.abs(whole).max())))
        narrow = jax.tree.map(lambda a: a.astype("float32"), (params, x))
        y = streamed(*narrow, case["chunks"], **how)
        np.testing.assert_allclose(
            y, convolution(*narrow, **options), rtol=0, atol=1e-6 * max(1.0, float(jnp.abs(whole).max()))
        )


@settings(max_examples=min(4, settings.default.max_examples - 1))
@given(cases())
def test_gradients_of_random_chunks(case: dict[str, Any]) -> None:
    with jax.enable_x64(True):
        convolution = case["options"]["convolution"]
        params, x = params_of(convolution, case["kernel_size"], case["groups"]), drawn(9, 1, case["length"], 4)
        options = {name: value for name, value in case["options"].items() if name != "convolution"}
        try:
            weights = drawn(6, *convolution(params, x, **options).shape)
        except ValueError:
            return
        how = {"flush": case["flush"], "begun": case["begun"], **case["options"]}

        def loss(params: Any, x: Any) -> jax.Array:
            return (streamed(params, x, case["chunks"], **how) * weights).sum()

        found = jax.jit(jax.grad(loss, (0, 1)))(params, x)
        wanted = jax.jit(jax.grad(lambda p, x: (convolution(p, x, **options) * weights).sum(), (0, 1)))(params, x)
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-14 * max(1.0, float(jnp.abs(b).max())))


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("form", ["shifted", "ring"])
@pytest.mark.parametrize("convolution", [jconv.conv1d, jconv.depthwise_conv1d, jconv.conv1d_transpose])
def test_gradients_flow_through_states(form: str, convolution: Any, x64: None) -> None:
    params, x = params_of(convolution, 3), drawn(5, 1, 10, 4)
    options: dict[str, Any] = {"dilation": 2} | ({} if convolution is jconv.conv1d_transpose else {"padding": "causal"})
    weights = drawn(6, *convolution(params, x, **options).shape)

    def loss(params: Any, x: Any, stream: bool) -> jax.Array:
        given = {"convolution": convolution, "begun": {"form": form, "chunk": 3}, **options}
        y = streamed(params, x, [3, 3, 1], **given) if stream else convolution(params, x, **options)
        return (y * weights).sum()

    found = jax.grad(loss, (0, 1))(params, jnp.asarray(x), True)
    wanted = jax.grad(loss, (0, 1))(params, jnp.asarray(x), False)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-13)


def test_backpropagation_can_be_truncated(x64: None) -> None:
    params, x = params_of(jconv.conv1d, 3), drawn(5, 1, 12, 4)
    _, state = streaming.step(params, streaming.init(params, (1,), dtype="float64", **CAUSAL), x[:, :6], **CAUSAL)

    def loss(params: Any) -> jax.Array:
        return (streaming.step(params, state, x[:, 6:], **CAUSAL)[0] ** 2).sum()

    def complete_loss(params: Any) -> jax.Array:
        return (jconv.conv1d(params, x, **CAUSAL)[:, 6:] ** 2).sum()

    np.testing.assert_allclose(jax.grad(loss)(params)["kernel"], jax.grad(complete_loss)(params)["kernel"], rtol=1e-12)


@pytest.mark.default_cases(1)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("convolution", [jconv.conv1d, jconv.conv1d_transpose])
def test_streams_keep_the_dtype(dtype: str, convolution: Any) -> None:
    params = {name: jnp.asarray(a, dtype) for name, a in params_of(convolution, 3, dtype="float32").items()}
    x = jnp.asarray(drawn(5, 2, 12, 4), dtype)
    options = {"convolution": convolution} | ({} if convolution is jconv.conv1d_transpose else {"padding": "causal"})
    expected = convolution(params, x, **{name: value for name, value in options.items() if name != "convolution"})
    y = streamed(params, x, [1, 4], **options)
    assert y.dtype == expected.dtype
    bound = {"float32": 1e-6, "bfloat16": 2e-2, "float16": 2e-3}[dtype] * float(jnp.abs(expected).max())
    np.testing.assert_allclose(y.astype("float32"), expected.astype("float32"), rtol=0, atol=bound)


@pytest.mark.parametrize("form", ["shifted", "ring"])
def test_outputs_have_the_same_bits_with_the_same_algorithm(form: str) -> None:
    params = params_of(jconv.depthwise_conv1d, 4, dtype="float32")
    x = drawn(5, 2, 24, 4, dtype="float32")
    options = {"padding": "causal", "algorithm": "shifts"}
    y = streamed(params, x, [4] * 5, convolution=jconv.depthwise_conv1d, begun={"form": form, "chunk": 4}, **options)
    np.testing.assert_array_equal(y, jconv.depthwise_conv1d(params, x, **options))


@pytest.mark.parametrize("form", ["shifted", "ring"])
def test_steps_under_scan_and_vmap_equal_the_complete_convolution(form: str) -> None:
    params = params_of(jconv.conv1d, 3, dtype="float32")
    x = jnp.asarray(drawn(5, 3, 2, 12, 4, dtype="float32"))

    def step(state: Any, chunk: jax.Array) -> Any:
        return streaming.step(params, state, chunk, **CAUSAL)[::-1]

    def along(x: jax.Array) -> jax.Array:
        chunks = jnp.moveaxis(x.reshape(2, 6, 2, 4), 1, 0)
        state = streaming.init(params, (2,), form=form, chunk=2, **CAUSAL)
        return jnp.moveaxis(jax.lax.scan(step, state, chunks)[1], 0, 1).reshape(2, 12, 6)

    np.testing.assert_allclose(jax.vmap(along)(x), jconv.conv1d(params, x, **CAUSAL), rtol=0, atol=1e-5)


@pytest.mark.parametrize("form", ["shifted", "ring"])
def test_a_step_compiles_once(form: str) -> None:
    params = params_of(jconv.conv1d, 3, dtype="float32")
    traced = []

    @jax.jit
    def step(state: Any, chunk: jax.Array) -> Any:
        traced.append(chunk.shape)
        return streaming.step(params, state, chunk, stride=2, **CAUSAL)

    state = streaming.init(params, (2,), form=form, chunk=4, stride=2, **CAUSAL)
    for _ in range(5):
        y, state = step(state, jnp.ones((2, 4, 4)))
        assert y.shape == (2, 2, 6)
    assert len(traced) == 1


def test_shapes_of_states() -> None:
    params = params_of(jconv.conv1d, 3, dtype="float32")
    shifted = streaming.init(params, (5,), dilation=3, form="shifted")
    assert isinstance(shifted, ShiftBuffer) and shifted.samples.shape == (5, 6, 4) and shifted.needed == 7
    ring = streaming.init(params, (5,), dilation=3, form="ring", chunk=4)
    # Rows for two previous chunks, the next chunk, and a copy of the first.
    assert isinstance(ring, RingBuffer) and ring.samples.shape == (5, 16, 4) and ring.head.shape == ()
    single = streaming.init(params, (5,), dilation=300)
    assert isinstance(single, RingBuffer) and single.samples.shape == (5, 601, 4)
    overlap = streaming.init(params_of(jconv.conv1d_transpose, 5), (5,), stride=2, convolution=jconv.conv1d_transpose)
    assert isinstance(overlap, OverlapAdd) and overlap.sums.shape == (5, 3, 3)


@pytest.mark.parametrize(
    ("options", "latency"),
    [
        ({"padding": "causal", "dilation": 3}, 0),
        ({"padding": "valid", "dilation": 3}, 12),
        ({"padding": "same", "dilation": 3}, 6),
        ({"padding": "same", "stride": 2}, 3),
        ({"padding": (1, 7)}, 3),
        ({"padding": (9, 0)}, -5),
    ],
)
def test_latency_and_output_timing(options: dict[str, Any], latency: int) -> None:
    params = {"kernel": np.ones((5, 1, 1))}
    assert streaming.latency(params, **options) == latency
    timing, state, count = streaming.output_timing(params, **options), streaming.init(params, (), **options), 0
    x = jax.ShapeDtypeStruct((1, 1), jnp.float32)
    for samples in range(1, 30):
        # The shapes suffice, and nothing is compiled for them.
        y, state = jax.eval_shape(lambda state, x: streaming.step(params, state, x, **options), state, x)
        count += y.shape[0]
        assert count == timing.count(samples)


def test_pace_is_an_alias_of_output_timing() -> None:
    assert streaming.pace is streaming.output_timing


def test_latency_of_a_transposed_convolution() -> None:
    params = {"kernel": np.ones((4, 1, 1))}
    assert streaming.latency(params, convolution=jconv.conv1d_transpose, stride=2, padding="same") == Fraction(1, 2)
    assert OutputTiming(upsampling=3).ratio == 3 and OutputTiming(stride=2).ratio == Fraction(1, 2)


def test_steps_may_have_no_samples_or_no_outputs() -> None:
    params = params_of(jconv.conv1d, 3, dtype="float32")
    state = streaming.init(params, (2,), activation="glu")
    y, after = streaming.step(params, state, jnp.ones((2, 0, 4)), activation="glu")
    assert y.shape == (2, 0, 3) and jax.tree.structure(after) == jax.tree.structure(state)
    y, _ = streaming.step(params, state, jnp.ones((2, 2, 4)), activation="glu")
    assert y.shape == (2, 0, 3)


def test_nan_affects_only_the_windows_that_read_it() -> None:
    params = params_of(jconv.conv1d, 3, dtype="float32")
    x = drawn(5, 2, 12, 4, dtype="float32")
    x[0, 2] = np.nan
    y = streamed(params, x, [1] * 11, begun={"form": "ring"}, **CAUSAL)
    bad = np.isnan(y).any(axis=-1)
    assert not bad[1].any() and np.flatnonzero(bad[0]).tolist() == [2, 4, 6]


PARAMS = params_of(jconv.conv1d, 3, dtype="float32")
ONE = jnp.ones((2, 1, 4))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: streaming.init(PARAMS, (2,), form="round"), "form must be one of auto, shifted, ring, got 'round'"),
        (lambda: streaming.init(PARAMS, (2,), chunk=0), "chunk must be an integer of at least 1, got 0"),
        (
            lambda: streaming.init(PARAMS, (2, 3), slots=True),
            r"with slots=True batch_shape must be \(slots,\), got \(2, 3\)",
        ),
        (lambda: streaming.init(PARAMS, (2,), padding_mode="edge"), "padding_mode must be zeros in a stream"),
        (lambda: streaming.init(PARAMS, 2), r"batch_shape must be a tuple, got 2; did you mean \(2,\)\?"),
        (
            lambda: streaming.step(PARAMS, PARAMS, ONE),  # pyright: ignore[reportArgumentType]
            "state must be from jconv.streaming.init, got dict",
        ),
        (lambda: streaming.init(PARAMS, (2,), stride=0), "stride must be an integer of at least 1, got 0"),
        (lambda: streaming.init(PARAMS, (2,), convolution=print), "convolution must be one of jconv's conv1d"),
        (
            lambda: streaming.init({"weight": np.ones((3, 4, 4))}, (2,)),
            r"a stream of conv1d needs params\['kernel'\]; params has 'weight'; a PyTorch weight",
        ),
        (
            lambda: streaming.latency({"kernel": np.ones((3, 4))}, convolution=jconv.conv1d_transpose),
            r"params\['kernel'\] must have 3 axes, got shape \(3, 4\)",
        ),
        (
            lambda: streaming.step(PARAMS, streaming.init(PARAMS, (2,)), ONE[0]),
            r"chunk must be of shape \(2, samples, 4\)",
        ),
        (
            lambda: streaming.step(PARAMS, streaming.init(PARAMS, (2,), dtype="bfloat16"), ONE),
            "chunk must have the stream's dtype bfloat16, got float32",
        ),
        (
            lambda: streaming.step(PARAMS, streaming.init(PARAMS, (2,)), ONE, convolution=jconv.conv1d_transpose),
            "state must be from init with convolution=conv1d_transpose, got RingBuffer",
        ),
        (
            lambda: streaming.step(
                PARAMS, streaming.step(PARAMS, streaming.init(PARAMS, (2,)), ONE, last=True)[1], ONE
            ),
            "the stream has ended",
        ),
        (
            lambda: streamed(PARAMS, jnp.ones((2, 5, 4)), [2], stride=2, padding="same"),
            "padding 'same' with stride 2 pads the start .* end with 1 samples more",
        ),
    ],
)
def test_invalid_arguments_are_errors(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("convolution", [jconv.conv1d, jconv.conv1d_transpose])
def test_a_stream_of_integers_raises(convolution: Any) -> None:
    with pytest.raises(TypeError, match="dtype must be float32"):
        streaming.init(PARAMS, (2,), dtype=int, convolution=convolution)


@pytest.mark.parametrize("call", [partial(streaming.init, PARAMS, (2,)), partial(streaming.latency, PARAMS)])
@pytest.mark.parametrize("name", ["strides", "lengths"])
def test_unknown_options_raise(call: Callable[..., Any], name: str) -> None:
    hint = "did you mean stride=2?" if name == "strides" else "the arguments are stride, padding"
    with pytest.raises(TypeError, match=f"a stream of conv1d has no argument {name}; {re.escape(hint)}"):
        call(**{name: 2})


def test_a_chunk_of_integers_raises() -> None:
    with pytest.raises(TypeError, match="chunk must be float32"):
        streaming.step(PARAMS, streaming.init(PARAMS, (2,)), np.ones((2, 1, 4), int))
