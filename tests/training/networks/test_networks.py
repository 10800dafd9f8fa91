"""The networks: they have the sizes of the papers, and accept series of any usual length."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jconv import layers
from training.networks import NETWORKS, inception_time, lite, mlp, resnet, tcn, unet, wavenet


def count_trained(model, shape):
    """The number of trained parameters."""
    params, _ = jax.eval_shape(lambda: model.init(jax.random.key(0), shape))
    return sum(array.size for array in jax.tree.leaves(params))


def test_networks_have_the_sizes_of_the_papers():
    # Convolutions with a bias, and two parameters of batch normalization for each filter.
    first = 576 + 20_544 + 12_352 + 3 * 128 + 128 + 128
    second = 65_664 + 82_048 + 49_280 + 3 * 256 + 8_320 + 256
    third = 131_200 + 82_048 + 49_280 + 3 * 256 + 256
    assert count_trained(resnet(2), (150, 1)) == first + second + third + 258 == 504_258
    # 420,192 without the dense layer of 128 to 2.
    assert count_trained(inception_time(2), (150, 1)) == 420_192 + 258
    # 9,814 without the dense layer of 32 to 2.
    assert count_trained(lite(2), (150, 1)) == 9_814 + 66
    assert count_trained(mlp(2), (150, 1)) == 151 * 500 + 2 * 501 * 500 + 501 * 2


def test_several_channels_are_reduced_first():
    shapes = inception_time(4, (100, 6)).output_shapes((100, 6))
    assert shapes["0.narrow"] == (100, 32) and shapes["0.max.1"] == (100, 32)
    assert "0.narrow" not in inception_time(4, (100, 1)).output_shapes((100, 1))


@pytest.mark.default_cases(3)
@pytest.mark.parametrize("build", [tcn, wavenet])
@pytest.mark.parametrize("length", [1, 2, 24, 150, 1460])
def test_the_last_output_reads_the_first_sample(build, length):
    model = build(2, (length, 1))
    convolutions = {node.name: node.layer for node in model.nodes if isinstance(node.layer, layers.Conv1D)}
    # Of two parallel convolutions, one counts.
    reach = 1 + sum(
        (layer.kernel_size - 1) * layer.dilation for name, layer in convolutions.items() if not name.endswith("tanh")
    )
    assert length <= reach < max(4 * length, 16)


@pytest.mark.default_cases(8)
@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(8, 1), (24, 1), (150, 6)])
def test_output_shapes_of_the_networks(name, shape):
    kind = NETWORKS[name]
    model = kind.build(3, shape)
    params, state = jax.eval_shape(lambda: model.init(jax.random.key(0), shape))
    y, _ = jax.eval_shape(model.apply, params, state, jnp.zeros((2, *shape)))
    # The network that forecasts has one forecast per 144 samples, rounded up.
    samples = (shape[0],) if kind.is_per_sample else (-(-shape[0] // 144),) if kind.forecasts else ()
    assert y.shape == (2, *samples, 3)


@pytest.mark.default_cases(4)
@pytest.mark.parametrize("length", range(8, 24))
def test_unet_has_an_output_for_every_sample(length):
    assert unet(2, (length, 1)).output_shapes((length, 1))["head"] == (length, 2)


def test_unet_equals_the_reference():
    model = unet(1, (13, 2))
    params, state = model.init(jax.random.key(0), (13, 2))
    x = np.random.default_rng(0).standard_normal((2, 13, 2))
    y = jax.jit(model.apply)(params, state, x)[0]
    np.testing.assert_allclose(y, model.reference(params, state, x), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_lite_equals_the_reference(channels):
    model = lite(2, (40, channels))
    params, state = model.init(jax.random.key(0), (40, channels))
    x = np.random.default_rng(0).standard_normal((2, 40, channels))
    y = jax.jit(model.apply)(params, state, x)[0]
    np.testing.assert_allclose(y, model.reference(params, state, x), atol=1e-5)


def test_handmade_filters_equal_separate_convolutions():
    from jconv import conv1d
    from training.networks.lite import HandmadeFilters, filters

    x = np.random.default_rng(0).standard_normal((2, 50, 1)).astype(np.float32)
    y, _ = HandmadeFilters().apply({}, {}, x)
    found = filters()
    assert found.shape == (96, 17)
    for number in range(17):
        own = np.trim_zeros(found[:, number]).astype(np.float32)
        alone = np.maximum(conv1d({"kernel": own[:, None, None]}, x, padding="same"), 0)
        np.testing.assert_allclose(y[..., number], alone[..., 0], atol=1e-4)
