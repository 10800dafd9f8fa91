"""The integer arithmetic of convolutions, compared with counting the windows."""

import itertools

import numpy as np
import pytest

import jconv
from jconv.geometry import Geometry, make_geometry, pad_amounts, reach, transposed_geometry

SIZES = list(itertools.product((1, 2, 5, 9, 16, 100, 101), (1, 2, 3, 5, 12), (1, 2, 3, 5, 12), (1, 2, 3)))


def windows_by_counting(length, kernel_size, stride, dilation):
    """Number of windows that start at 0, stride, 2 * stride, ... and fit."""
    return sum((start + (kernel_size - 1) * dilation) < length for start in range(0, length, stride))


@pytest.mark.parametrize("padding", ["valid", "same", "causal", "full", 0, 4, (0, 7), (3, 0)])
def test_output_length_is_the_number_of_windows(padding):
    for length, kernel_size, stride, dilation in SIZES:
        low, high = pad_amounts(length, kernel_size, stride=stride, padding=padding, dilation=dilation)
        expected = windows_by_counting(length + low + high, kernel_size, stride, dilation)
        options = {"stride": stride, "padding": padding, "dilation": dilation}
        if expected:
            assert jconv.output_length(length, kernel_size, **options) == expected
        else:
            with pytest.raises(ValueError, match="reaches over"):
                jconv.output_length(length, kernel_size, **options)


def test_same_returns_the_length_over_the_stride_rounded_up_with_the_odd_sample_at_the_end():
    for length, kernel_size, stride, dilation in SIZES:
        options = {"stride": stride, "padding": "same", "dilation": dilation}
        low, high = pad_amounts(length, kernel_size, **options)
        assert jconv.output_length(length, kernel_size, **options) == (length + stride - 1) // stride
        assert high - low in (0, 1)


def test_same_pads_no_more_than_the_last_window_needs():
    for length, kernel_size, stride, dilation in SIZES:
        low, high = pad_amounts(length, kernel_size, stride=stride, padding="same", dilation=dilation)
        windows = windows_by_counting(length + low + high - 1, kernel_size, stride, dilation)
        assert low + high == 0 or windows < -(-length // stride)


def test_causal_padding_reads_no_later_sample():
    for length, kernel_size, stride, dilation in SIZES:
        low, high = pad_amounts(length, kernel_size, stride=stride, padding="causal", dilation=dilation)
        assert high == 0
        assert (kernel_size - 1) * dilation - low == 0  # The last tap of window t reads sample t * stride.


def test_full_pads_so_that_each_end_window_touches_one_sample():
    assert pad_amounts(10, 4, padding="full", dilation=3) == (9, 9)
    assert jconv.output_length(10, 4, padding="full") == np.convolve(np.ones(10), np.ones(4), "full").size


def test_reach_is_from_the_first_tap_to_the_last():
    for kernel_size, dilation in itertools.product(range(1, 6), range(1, 5)):
        assert reach(kernel_size, dilation) == len(range(0, (kernel_size - 1) * dilation + 1))


@pytest.mark.parametrize("kind", [np.int8, np.int32, np.int64, np.uint8])
def test_numpy_integers_are_sizes(kind):
    geometry = make_geometry(
        kind(100), kind(12), stride=kind(12), padding=(kind(100), kind(100)), dilation=kind(2), groups=kind(1)
    )
    assert geometry == make_geometry(100, 12, stride=12, padding=(100, 100), dilation=2)
    assert geometry.out_length == 24  # 300 samples, more than an 8-bit integer holds
    fields = (geometry.length, geometry.kernel_size, geometry.stride, geometry.low, geometry.high, geometry.dilation)
    assert {type(value) for value in fields} == {int}
    assert type(transposed_geometry(kind(100), kind(3), stride=kind(3)).length) is int


def test_repr_shows_only_options_that_differ_from_the_defaults():
    assert repr(Geometry(9, 3)) == "Geometry(length=9, kernel_size=3)"
    expected = "Geometry(length=9, kernel_size=3, stride=2, padding=(1, 0), dilation=4, groups=5)"
    assert repr(Geometry(9, 3, stride=2, low=1, high=0, dilation=4, groups=5)) == expected


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_output_length_of_a_transposed_geometry_is_the_input_length(padding):
    for length, kernel_size, stride, dilation in SIZES:
        for output_padding in (None, *range(stride)):
            try:
                geometry = transposed_geometry(
                    length,
                    kernel_size,
                    stride=stride,
                    padding=padding,
                    output_padding=output_padding,
                    dilation=dilation,
                )
            except ValueError as error:
                assert "would return" in str(error)
                continue
            assert geometry.out_length == length


@pytest.mark.parametrize(
    ("padding", "output_padding", "expected"),
    [
        ("same", None, 30),
        ("valid", None, 31),  # 9 * 3 + 4
        ("valid", 0, 31),
        ("valid", 2, 33),
        ("same", 0, 27),  # 9 * 3 + 4 - 2 * 2
        ("same", 2, 29),
    ],
)
def test_transposed_length(padding, output_padding, expected):
    assert transposed_geometry(10, 4, stride=3, padding=padding, output_padding=output_padding).length == expected
