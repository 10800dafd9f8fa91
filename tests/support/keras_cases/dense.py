"""Cases of `EinsumDense` and `Embedding`."""

from keras import layers as kl

from .case import Case

CASES = {
    "EinsumDense": Case(
        (7, 4),
        {
            "dense": lambda x: kl.EinsumDense("abc,cd->abd", (None, 5), bias_axes="d")(x),
            "heads": lambda x: kl.EinsumDense("abc,cde->abde", (None, 5, 2), bias_axes="de", activation="tanh")(x),
            "length": lambda x: kl.EinsumDense("abc,bd->adc", (5, 4), bias_axes="d", activation="softmax")(x),
            "both": lambda x: kl.EinsumDense("abc,bcd->ad", 5)(x),
            "left": lambda x: kl.EinsumDense("...x,xy->...y", 5, bias_axes="y")(x),
            "left_two": lambda x: kl.EinsumDense("...bc,cde->...bde", (7, 5, 2), bias_axes="bd")(x),
            "right": lambda x: kl.EinsumDense("ab...,bc->ac...", 5, bias_axes="c")(x),
            "diagonal": lambda x: kl.EinsumDense("abc,bc->abc", (7, 4), bias_axes="c")(x),
        },
    ),
    "Embedding": Case(
        (7,),
        {
            "default": lambda x: kl.Embedding(5, 3)(x),
            "mask": lambda x: kl.GlobalAveragePooling1D()(kl.Embedding(4, 3, mask_zero=True)(x)),
        },
        dtype="int32",
    ),
    "Embedding_of_numbers": Case((7,), {"truncated": lambda x: kl.Embedding(5, 3)(x)}),
}
