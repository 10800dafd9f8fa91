"""Cases of activations, pooling, regularization, shapes, masks, merging and dense layers."""

import keras
from keras import layers as kl

from jconv.reference.activations import ACTIVATIONS

from .case import Case

FIRST = {"data_format": "channels_first"}

# Without 7, for which Keras's windows are wrong; see jconv.layers.AdaptiveMaxPooling1D.
SIZES = (1, 4, 8, 13)
MERGING = ("Add", "Average", "Concatenate", "Maximum", "Minimum", "Multiply")

CASES = {
    "Activation": Case(
        (7, 6), {name: lambda x, name=name: kl.Activation(name)(x) for name in sorted(set(ACTIVATIONS) - {"glu"})}
    ),
    "activations with options": Case(
        (7, 4),
        {
            "relu": lambda x: kl.ReLU()(x),
            "relu_slope": lambda x: kl.ReLU(negative_slope=0.3)(x),
            "relu_max": lambda x: kl.ReLU(max_value=0.5)(x),
            "relu_max_6": lambda x: kl.ReLU(6)(x),
            "relu_threshold": lambda x: kl.ReLU(threshold=0.4)(x),
            "relu_all": lambda x: kl.ReLU(max_value=1.0, negative_slope=0.3, threshold=0.4)(x),
            "relu_slope_max": lambda x: kl.ReLU(max_value=0.7, negative_slope=0.3)(x),
            "relu_slope_threshold": lambda x: kl.ReLU(negative_slope=0.3, threshold=0.4)(x),
            "relu_max_below_threshold": lambda x: kl.ReLU(max_value=0.2, threshold=0.4)(x),
            "leaky": lambda x: kl.LeakyReLU()(x),
            "leaky_slope": lambda x: kl.LeakyReLU(negative_slope=0.7)(x),
            "elu": lambda x: kl.ELU()(x),
            "elu_alpha": lambda x: kl.ELU(alpha=0.4)(x),
            "prelu": lambda x: kl.PReLU()(x),
            "prelu_shared": lambda x: kl.PReLU(shared_axes=[1])(x),
            "prelu_all_shared": lambda x: kl.PReLU(shared_axes=[1, 2])(x),
            "softmax": lambda x: kl.Softmax()(x),
            "softmax_length": lambda x: kl.Softmax(axis=1)(x),
            "softmax_both": lambda x: kl.Softmax(axis=[1, 2])(x),
        },
    ),
    "softmax with a mask": Case(
        ((5, 4), (5, 4)),
        {
            "mask": lambda x, y: kl.Softmax()(x, mask=keras.ops.greater(y, 0)),
            "numbers": lambda x, y: kl.Softmax(axis=1)(x, mask=y),
        },
    ),
    "Dense": Case(
        (7, 4),
        {
            "default": lambda x: kl.Dense(5)(x),
            "bare": lambda x: kl.Dense(5, use_bias=False, activation="softplus")(x),
            "vector": lambda x: kl.Dense(5, activation="tanh")(kl.Flatten()(x)),
        },
    ),
    "pooling": Case(
        (12, 4),
        {
            "max": lambda x: kl.MaxPooling1D()(x),
            "max_same": lambda x: kl.MaxPooling1D(5, strides=2, padding="same")(x),
            "max_first": lambda x: kl.MaxPooling1D(3, strides=1, padding="same", **FIRST)(x),
            "average": lambda x: kl.AveragePooling1D(3)(x),
            "average_same": lambda x: kl.AveragePooling1D(5, strides=2, padding="same")(x),
            "average_first": lambda x: kl.AveragePooling1D(2, **FIRST)(x),
            "global_max": lambda x: kl.GlobalMaxPooling1D()(x),
            "global_max_first": lambda x: kl.GlobalMaxPooling1D(keepdims=True, **FIRST)(x),
            "global_average": lambda x: kl.GlobalAveragePooling1D()(x),
            "global_average_kept": lambda x: kl.GlobalAveragePooling1D(keepdims=True)(x),
            "global_average_first": lambda x: kl.GlobalAveragePooling1D(**FIRST)(x),
            "global_average_first_kept": lambda x: kl.GlobalAveragePooling1D(keepdims=True, **FIRST)(x),
        },
    ),
    "adaptive pooling": Case(
        (11, 4),
        {f"max_{n}": lambda x, n=n: kl.AdaptiveMaxPooling1D(n)(x) for n in SIZES}
        | {f"average_{n}": lambda x, n=n: kl.AdaptiveAveragePooling1D(n)(x) for n in SIZES}
        | {
            "max_first": lambda x: kl.AdaptiveMaxPooling1D(3, **FIRST)(x),
            "average_first": lambda x: kl.AdaptiveAveragePooling1D(3, **FIRST)(x),
        },
    ),
    "global pooling with a mask": Case(
        ((5, 4), (5,)),
        {
            "mask": lambda x, y: kl.GlobalAveragePooling1D()(x, mask=keras.ops.greater(y, -1)),
            "kept": lambda x, y: kl.GlobalAveragePooling1D(keepdims=True)(x, mask=keras.ops.greater(y, -1)),
        },
    ),
    "regularization": Case(
        (7, 4),
        {
            "dropout": lambda x: kl.Dropout(0.5)(x),
            "dropout_noise_shape": lambda x: kl.Dropout(0.5, noise_shape=(None, 1, 4))(x),
            "spatial": lambda x: kl.SpatialDropout1D(0.5)(x),
            "gaussian": lambda x: kl.GaussianDropout(0.5)(x),
            "noise": lambda x: kl.GaussianNoise(0.5)(x),
            "alpha": lambda x: kl.AlphaDropout(0.5)(x),
            "activity": lambda x: kl.ActivityRegularization(l1=0.1, l2=0.2)(x),
        },
    ),
    "shape": Case(
        (12, 4),
        {
            "padding": lambda x: kl.ZeroPadding1D()(x),
            "padding_pair": lambda x: kl.ZeroPadding1D((2, 0))(x),
            "padding_first": lambda x: kl.ZeroPadding1D((2, 1), **FIRST)(x),
            "cropping": lambda x: kl.Cropping1D(2)(x),
            "cropping_pair": lambda x: kl.Cropping1D((3, 0))(x),
            "up": lambda x: kl.UpSampling1D(3)(x),
            "repeat": lambda x: kl.RepeatVector(3)(kl.GlobalMaxPooling1D()(x)),
            "permute": lambda x: kl.Permute((2, 1))(x),
            "reshape": lambda x: kl.Reshape((6, 8))(x),
            "reshape_open": lambda x: kl.Reshape((3, -1, 2))(x),
            "permute_more": lambda x: kl.Permute((3, 1, 2))(kl.Reshape((3, -1, 2))(x)),
            "flatten": lambda x: kl.Flatten()(x),
            "flatten_first": lambda x: kl.Flatten(**FIRST)(x),
        },
    ),
    "unknown length": Case(
        (None, 4),
        {
            "reshape": lambda x: kl.Reshape((-1, 2))(x),
            "cropping": lambda x: kl.Cropping1D(2)(x),
            "up": lambda x: kl.UpSampling1D(2)(x),
            "permute": lambda x: kl.Permute((2, 1))(x),
            "prelu": lambda x: kl.PReLU(shared_axes=[1])(x),
            "adaptive": lambda x: kl.AdaptiveAveragePooling1D(3)(x),
        },
    ),
    "merging": Case(
        ((6, 4), (6, 4), (1, 4), (4,)),
        {
            "add": lambda x, y, z, w: kl.Add()([x, y, z, w]),
            "subtract": lambda x, y, z, w: kl.Subtract()([x, y]),
            "subtract_ranks": lambda x, y, z, w: kl.Subtract()([w, x]),
            "multiply": lambda x, y, z, w: kl.Multiply()([x, y, z, w]),
            "average": lambda x, y, z, w: kl.Average()([x, y, z, w]),
            "maximum": lambda x, y, z, w: kl.Maximum()([x, y, z, w]),
            "minimum": lambda x, y, z, w: kl.Minimum()([x, y, z, w]),
            "concatenate": lambda x, y, z, w: kl.Concatenate()([x, y]),
            "concatenate_length": lambda x, y, z, w: kl.Concatenate(axis=1)([x, z, y]),
        },
    ),
    "Dot": Case(
        ((6, 4), (5, 4), (4,), (4,), (3, 4, 2)),
        {
            "last": lambda a, b, c, d, e: kl.Dot(axes=-1)([a, b]),
            "second": lambda a, b, c, d, e: kl.Dot(axes=2)([a, b]),
            "cosine": lambda a, b, c, d, e: kl.Dot(axes=2, normalize=True)([a, b]),
            "vectors": lambda a, b, c, d, e: kl.Dot(axes=1)([c, d]),
            "vectors_cosine": lambda a, b, c, d, e: kl.Dot(axes=-1, normalize=True)([c, d]),
            "vector_first": lambda a, b, c, d, e: kl.Dot(axes=(1, 2))([c, a]),
            "vector_second": lambda a, b, c, d, e: kl.Dot(axes=(2, 1), normalize=True)([a, c]),
            "more_axes": lambda a, b, c, d, e: kl.Dot(axes=(2, 2))([e, a]),
            "more_axes_second": lambda a, b, c, d, e: kl.Dot(axes=(2, 2), normalize=True)([a, e]),
        },
    ),
    "masks": Case(
        (6, 4),
        {
            "masking": lambda x: kl.Masking(0.0)(kl.ReLU()(x)),
            "to_average": lambda x: kl.GlobalAveragePooling1D()(masked(x)),
            "through_dense": lambda x: kl.GlobalAveragePooling1D()(kl.Dropout(0.5)(kl.Dense(3)(masked(x)))),
            **{f"{name}_all": lambda x, name=name: merged(name, masked(x), masked(x, -1.0)) for name in MERGING},
            **{f"{name}_some": lambda x, name=name: merged(name, x, masked(x), x) for name in MERGING},
            **{f"{name}_last": lambda x, name=name: merged(name, x, masked(x)) for name in MERGING},
            "subtract": lambda x: kl.GlobalAveragePooling1D()(kl.Subtract()([masked(x), masked(x)])),
            "length": lambda x: kl.GlobalAveragePooling1D()(kl.Concatenate(axis=1)([x, masked(x), masked(x, -1.0)])),
            "ranks": lambda x: kl.Multiply()([masked(x), kl.GlobalMaxPooling1D()(x)]),
        },
    ),
}


def merged(name, *inputs):
    """The output of a merging layer, and its average over the steps that its mask keeps."""
    y = getattr(kl, name)()(list(inputs))
    return [y, kl.GlobalAveragePooling1D()(y)]


def masked(x, sign=1.0):
    """`x` with a mask that keeps the steps whose first value has this sign."""
    steps = keras.ops.cast(keras.ops.greater(sign * x[:, :, :1], 0), x.dtype)
    return kl.Masking(0.0)(x * steps)
