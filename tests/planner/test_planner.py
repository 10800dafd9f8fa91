"""The planner: the algorithm and the reason for given sizes, platform and hardware."""

import importlib
import json
import math
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jconv
from jconv import planner
from jconv.algorithms import ALGORITHMS, OPERATIONS
from jconv.geometry import Geometry, make_geometry
from jconv.planner import Choice, Hardware, choose, hardware, tree
from jconv.sizes import Sizes

choose_module = importlib.import_module("jconv.planner.choose")  # jconv.planner.choose itself is the function
EPYC, EPYC_CORE = Hardware("AMD EPYC", 2), Hardware("AMD EPYC", 1)
XEON, XEON_CORE = Hardware("Intel(R) Xeon(R) Platinum 8488C", 2), Hardware("Intel(R) Xeon(R) Platinum 8488C", 1)
KNOWN = (EPYC, EPYC_CORE, XEON, XEON_CORE)
LOCAL = [name for name, module in ALGORITHMS.items() if module.LOCAL]


def make_sizes(batch, length, in_channels, out_channels, kernel_size, **options) -> Sizes:
    geometry = make_geometry(length, kernel_size, padding="causal", **options)
    return Sizes(geometry, batch, in_channels, out_channels)


@pytest.fixture
def leaves(monkeypatch):
    """A function that makes every tree a single leaf: for each dict of ratios, the trees of one kind of processor."""

    def replace(*ratios: dict[str, float]) -> None:
        kinds = [{key: {"geometries": 7, "ratios": own} for key in OPERATIONS} for own in ratios]
        monkeypatch.setattr(choose_module, "trees", lambda hardware: kinds)

    return replace


DENSE = make_sizes(16, 512, 128, 256, 5)
DEPTHWISE = make_sizes(4, 2048, 256, 256, 4, groups=256)


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_requested_algorithm_is_chosen(algorithm, operation):
    for platform in ("cpu", "cuda", "tpu"):
        for sizes in (DENSE, DEPTHWISE, DENSE._replace(batch=0)):
            choice = choose(algorithm, operation, sizes, measured="fft", platform=platform)
            assert choice == Choice(algorithm, "requested by name")


@pytest.mark.parametrize("name", ["nothing", "", "FFT", None, 3, ["lax"]])
def test_unknown_algorithm_raises(name):
    with pytest.raises(ValueError) as error:
        choose_module.check_algorithm(name)
    names = ", ".join(["auto", "fastest", *sorted(ALGORITHMS)])
    hint = "; did you mean 'fft'?" if name == "FFT" else ""
    assert str(error.value) == f"algorithm must be one of {names}, got {name!r}{hint}"


def test_known_algorithms_are_accepted():
    for name in ("auto", "fastest", *ALGORITHMS):
        choose_module.check_algorithm(name)


@pytest.mark.parametrize("algorithm", ["auto", "fastest", *ALGORITHMS])
def test_partitioned_operation_is_a_contraction(algorithm):
    for operation in OPERATIONS:
        for ensemble_size in (1, 8):
            choice = choose(
                algorithm, operation, DEPTHWISE, ensemble_size=ensemble_size, measured="shifts", partitioned=True
            )
            assert choice.algorithm == "einsum" and not choice.loops_over_ensemble
            assert "partitioner" in choice.reason


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu", "several platforms"])
def test_other_platforms_use_lax(platform):
    for operation in OPERATIONS:
        for sizes in (DENSE, DEPTHWISE):
            choice = choose("auto", operation, sizes, platform=platform, ensemble_size=8)
            assert choice.algorithm == "lax" and not choice.loops_over_ensemble
            assert platform in choice.reason


def test_symbolic_sizes_use_lax_or_einsum():
    batch, length = jax.export.symbolic_shape("b, t", constraints=["t >= 8"])
    symbolic = [
        Sizes(Geometry(64, 3, groups=8), batch, 8, 8),
        Sizes(make_geometry(length, 3, padding="causal", groups=8), 4, 8, 8),
        Sizes(make_geometry(length, 3, padding="same", stride=2, groups=8), 4, 8, 8),
    ]
    for operation in OPERATIONS:
        for sizes in symbolic:
            assert choose("auto", operation, sizes).algorithm == "lax"
            assert "symbolic" in choose("auto", operation, sizes).reason
            for name in ALGORITHMS:
                choice = choose(name, operation, sizes)
                assert choice.algorithm == (name if name in ("lax", "einsum") else "lax")
                assert (choice.reason == "requested by name") == (name in ("lax", "einsum"))


def test_ensemble_of_symbolic_size_is_computed_in_a_loop():
    (ensemble_size,) = jax.export.symbolic_shape("m")
    assert choose("lax", "forward", DENSE, ensemble_size=ensemble_size).loops_over_ensemble


@pytest.mark.parametrize("empty", [{"batch": 0}, {"in_channels": 0}, {"out_channels": 0}])
def test_empty_operands_use_lax(empty):
    for operation in OPERATIONS:
        choice = choose("auto", operation, DENSE._replace(**empty))
        assert choice == Choice("lax", "nothing to compute")


def test_measured_algorithm_is_used_for_single_convolutions_with_auto_or_fastest():
    for operation in OPERATIONS:
        choice = choose("auto", operation, DENSE, measured="einsum")
        assert choice == Choice("einsum", "fastest in the measurements of jconv.tune on this machine")
        assert choose("auto", operation, DENSE, measured="einsum", platform="cuda").algorithm == "einsum"
        assert choose("auto", operation, DENSE, measured="einsum", ensemble_size=2) == choose(
            "auto", operation, DENSE, ensemble_size=2
        )
        assert choose("lax", operation, DENSE, measured="einsum").algorithm == "lax"
        assert choose("fastest", operation, DENSE, measured="fft").algorithm == "fft"
        assert choose("auto", operation, DENSE, measured="fft") == choose("auto", operation, DENSE)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_xla_convolutions_are_computed_in_a_loop(algorithm):
    uses_xla_convolution = algorithm in ("lax", "grouped", "polyphase", "toeplitz")
    for operation in OPERATIONS:
        assert choose(algorithm, operation, DENSE, ensemble_size=16).loops_over_ensemble == uses_xla_convolution
        assert not choose(algorithm, operation, DENSE, ensemble_size=1).loops_over_ensemble
        assert not choose(algorithm, operation, DENSE, ensemble_size=16, platform="cuda").loops_over_ensemble


@pytest.mark.parametrize("operation", OPERATIONS)
def test_auto_chooses_among_local_algorithms_and_fastest_among_all(operation, leaves):
    leaves({"fft": 0.1, "winograd": 0.2, "shifts": 0.5})
    long, measured = make_sizes(4, 2000, 8, 8, 20), "interpolated from float32 measurements, 7 of them in this range ()"
    assert choose("auto", operation, long) == Choice("shifts", f"0.50 of lax's time, {measured}", ratio=0.5)
    assert choose("fastest", operation, long) == Choice("fft", f"0.10 of lax's time, {measured}", ratio=0.1)


@pytest.mark.parametrize(
    ("ratios", "expected"),
    [
        ({"shifts": choose_module.MAX_TIME_RATIO}, "shifts"),
        ({"shifts": choose_module.MAX_TIME_RATIO + 0.01}, "lax"),
        ({"shifts": 0.6, "einsum": 0.8}, "shifts"),
        ({"shifts": 0.8, "einsum": 0.6}, "einsum"),
        ({"polyphase": 0.1}, "lax"),  # no candidate without a stride
        ({}, "lax"),
    ],
    ids=str,
)
def test_algorithm_is_preferred_to_lax_only_if_clearly_faster(ratios, expected, leaves):
    leaves(ratios)
    assert choose("auto", "kernel_gradient", make_sizes(64, 4000, 8, 16, 3)).algorithm == expected


@pytest.mark.parametrize("name", ["einsum", "matmul"])
def test_matrix_product_for_a_short_operation_needs_a_larger_gain(name, leaves):
    long = make_sizes(64, 4096, 8, 16, 3)
    short = long._replace(batch=2)
    assert short.multiply_adds < choose_module.SHORT_MULTIPLY_ADDS < long.multiply_adds
    limit, limit_if_short = choose_module.MAX_TIME_RATIO, choose_module.MAX_TIME_RATIO_IF_SHORT
    for ratio, expected in ((limit, "lax"), (limit_if_short, name)):
        leaves({name: ratio})
        assert choose("auto", "kernel_gradient", long).algorithm == name
        assert choose("auto", "kernel_gradient", short).algorithm == expected
        assert choose("auto", "kernel_gradient", short, hardware=Hardware("unknown", 1)).algorithm == name
    leaves({name: limit_if_short + 0.01, "shifts": limit})
    assert choose("auto", "kernel_gradient", short).algorithm == "shifts"


def test_ensemble_has_the_choices_of_one_convolution_except_tiles(leaves):
    leaves({"shifts": choose_module.MAX_TIME_RATIO, "winograd": 0.1})
    for policy, expected in (("auto", "shifts"), ("fastest", "winograd")):
        assert choose(policy, "forward", DENSE).algorithm == expected
        assert choose(policy, "forward", DENSE, ensemble_size=8).algorithm == "shifts"


@pytest.mark.parametrize(
    ("channels", "operation", "expected"),
    [
        ((32, 32), "forward", "lax"),
        ((16, 64), "forward", "lax"),
        ((64, 16), "forward", "matmul"),
        ((1, 32), "forward", "matmul"),
        ((32, 32), "input_gradient", "matmul"),
        ((32, 32), "kernel_gradient", "matmul"),
    ],
)
def test_kernel_size_1_is_a_matrix_product(channels, operation, expected):
    sizes = Sizes(Geometry(512, 1), 8, *channels)
    assert choose("auto", operation, sizes).algorithm == expected


def test_unknown_processor_uses_lax_where_measured_processors_differ(leaves):
    clear = {"shifts": 0.5}
    leaves(clear, {"shifts": 0.7})
    assert choose("auto", "forward", DENSE).algorithm == "shifts"
    for other in ({}, {"einsum": 0.5}, {"shifts": 0.5, "matmul": 0.4}):
        leaves(clear, other)
        choice = choose("auto", "kernel_gradient", make_sizes(4, 2000, 8, 8, 3))
        reason = "unknown processor or several processes, and the fastest algorithm depends on the processor"
        assert choice == Choice("lax", reason)


def test_trees_are_selected_by_processor_and_cores():
    tables = {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in tree.DATA.glob("*.json")}
    trees = {name: table["trees"] for name, table in tables.items()}
    assert set(trees) == {"amd-epyc-1", "amd-epyc-2", "intel-xeon-1", "intel-xeon-2"}
    for cores, most in ((1, 1), (2, 2), (3, 2), (64, 2)):
        epyc, xeon = trees[f"amd-epyc-{most}"], trees[f"intel-xeon-{most}"]
        assert tree.trees(Hardware("AMD EPYC 9R14", cores)) == [epyc]
        assert tree.trees(Hardware("Intel(R) Xeon(R) CPU @ 2.20GHz", cores)) == [xeon]
        for unknown in ("AMD Ryzen 9 7950X", "Intel(R) Core(TM) i7", "arm", ""):
            assert tree.trees(Hardware(unknown, cores)) == [epyc, xeon]


def test_data_files_contain_trees():
    def leaves_of(node):
        if isinstance(node, dict):
            assert node["geometries"] >= 0 and set(node["ratios"]) <= set(ALGORITHMS) - {"lax"}
            assert all(0 < ratio < 1 for ratio in node["ratios"].values())
            return 1
        feature, threshold, low, high = node
        assert feature in tree.features(DENSE) and math.isfinite(threshold) and threshold > 1
        return leaves_of(low) + leaves_of(high)

    for path in tree.DATA.glob("*.json"):
        trees = json.loads(path.read_text(encoding="utf-8"))["trees"]
        assert set(trees) == set(OPERATIONS)
        assert all(16 <= leaves_of(own) <= 800 for own in trees.values())


def test_leaf_path_is_described_in_words():
    leaf = {"geometries": 3, "ratios": {"shifts": 0.5}}
    other = {"geometries": 9, "ratios": {}}
    nodes = [
        "kernel size",
        8.5,
        ["stride", 1.4, ["kernel size", 2.5, other, leaf], other],
        ["groups", 1.5, other, leaf],
    ]
    three, strided, grouped = (
        make_sizes(1, 100, 8, 8, k, **o) for k, o in ((3, {}), (3, {"stride": 2}), (9, {"groups": 8}))
    )
    assert tree.walk(nodes, three) == ({"shifts": 0.5}, 3, "kernel size 3 to 8, stride 1")
    assert tree.walk(nodes, strided) == ({}, 9, "kernel size 1 to 8, stride at least 2")
    assert tree.walk(nodes, grouped).path == "kernel size at least 9, groups at least 2"
    nodes = ["rows", 99.5, other, ["terms", 24.5, leaf, ["weights", 9.5, other, other]]]
    assert tree.walk(nodes, three).path == "batch * output length at least 100, terms of a sum 1 to 24"


@pytest.mark.parametrize("hardware", KNOWN, ids=str)
def test_depthwise_convolutions_use_shifts(hardware):
    for operation in OPERATIONS:
        for taps in (4, 7):
            depthwise = make_sizes(4, 2048, 256, 256, taps, groups=256)
            assert choose("auto", operation, depthwise, hardware=hardware).algorithm == "shifts"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_grouped_is_no_candidate_for_many_groups(operation):
    most = choose_module.MAX_GROUPS
    assert "grouped" in planner.candidates(operation, make_sizes(4, 100, most, most, 64, groups=most))
    assert ("grouped" in planner.candidates(operation, DENSE)) == (operation != "kernel_gradient")
    assert "grouped" not in planner.candidates(operation, make_sizes(4, 100, 2 * most, 2 * most, 64, groups=2 * most))
    # Neither is polyphase with more than two channels per group: its phases are grouped convolutions too.
    for per_group, offered in ((1, True), (4, False)):
        strided = make_sizes(4, 100, 2 * most * per_group, 2 * most * per_group, 64, stride=2, groups=2 * most)
        assert ("polyphase" in planner.candidates(operation, strided)) == offered


def test_algorithms_that_need_too_much_memory_are_no_candidates():
    many_taps = make_sizes(2, 4096, 16, 16, 33)
    assert "fft" not in planner.candidates("forward", make_sizes(1, 1000, 512, 512, 16, dilation=16))
    assert "fft" in planner.candidates("forward", make_sizes(1, 1000, 512, 512, 16))
    for operation in OPERATIONS:
        for name in ("matmul", "einsum"):
            assert many_taps.windows > choose_module.MAX_MEMORY_RATIO * many_taps.elements
            assert name not in planner.candidates(operation, many_taps)
            assert name in planner.candidates(operation, many_taps._replace(geometry=Geometry(4096, 3)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_tiles_can_be_disallowed(operation, leaves):
    leaves({"winograd": 0.1})
    assert choose("fastest", operation, DENSE).algorithm == "winograd"
    assert choose("fastest", operation, DENSE, allow_tiles=False).algorithm == "lax"
    assert choose("fastest", operation, DENSE, measured="winograd", allow_tiles=False).algorithm == "lax"
    assert choose("auto", operation, DENSE, measured="matmul", allow_tiles=False).algorithm == "matmul"
    assert choose("winograd", operation, DENSE, allow_tiles=False).algorithm == "winograd"


def test_highest_precision_disallows_tiles(leaves):
    leaves({"winograd": 0.1})
    params, x = {"kernel": np.zeros((5, 128, 256), np.float32)}, np.zeros((16, 512, 128), np.float32)

    def algorithms(**options):
        return {plan.algorithm for plan in jconv.explain(params, x, algorithm="fastest", **options)}

    assert algorithms() == {"winograd"}
    for highest in ("highest", "float32", jax.lax.Precision.HIGHEST, ("default", "highest")):
        assert algorithms(precision=highest) == {"lax"}
    with jax.default_matmul_precision("highest"):
        assert algorithms() == {"lax"}
        assert algorithms(precision="default") == {"winograd"}


@st.composite
def any_sizes(draw) -> Sizes:
    small = st.integers(1, 12)
    groups = draw(st.sampled_from([1, 2, 3, 64]))
    geometry = make_geometry(
        draw(st.integers(1, 3000)),
        draw(st.integers(1, 300)),
        stride=draw(small),
        padding=draw(st.sampled_from(["same", "causal", "full"])),
        dilation=draw(small),
        groups=groups,
    )
    return Sizes(geometry, draw(st.integers(0, 64)), groups * draw(small), groups * draw(small))


@given(any_sizes(), st.sampled_from(OPERATIONS), st.sampled_from([*KNOWN, planner.UNKNOWN]))
def test_choice_is_deterministic_and_a_candidate_for_all_sizes(sizes, operation, hardware):
    names = planner.candidates(operation, sizes)
    assert "lax" in names and set(names) <= set(ALGORITHMS) and len(set(names)) == len(names)
    for policy, allowed in (("auto", LOCAL), ("fastest", list(ALGORITHMS))):
        choice = choose(policy, operation, sizes, hardware=hardware)
        assert choice == choose(policy, operation, sizes, hardware=hardware) and choice.algorithm in names
        assert choice.algorithm in allowed and choice.reason and choice.reason.isprintable()


def test_every_algorithm_has_the_three_operations():
    for algorithm in ALGORITHMS.values():
        assert all(callable(getattr(algorithm, operation)) for operation in OPERATIONS)
    assert set(choose_module.USES_XLA_CONVOLUTION) | set(choose_module.ACCEPTS_SYMBOLIC_SIZES) <= set(ALGORITHMS)


def test_hardware_is_read_once_and_processor_has_a_name(monkeypatch):
    assert hardware.this_machine() is hardware.this_machine() and hardware.this_machine().cores == hardware.cores()

    def fail(*args, **options):
        raise OSError

    hardware.processor.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", fail)
        assert hardware.processor()
    hardware.processor.cache_clear()


def test_sizes_count_multiply_adds_and_elements():
    # (3, 10, 4) with 2 taps and stride 3 in 2 groups to 6 channels: 3 windows in each of 3 rows
    sizes = Sizes(Geometry(10, 2, stride=3, groups=2), 3, 4, 6)
    assert (sizes.in_per_group, sizes.out_per_group) == (2, 3)
    assert sizes.multiply_adds == 3 * 3 * 2 * 2 * 6
    assert sizes.elements == 3 * 10 * 4 + 2 * 2 * 6 + 3 * 3 * 6
