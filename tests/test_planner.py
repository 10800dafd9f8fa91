"""Which algorithm is chosen for what, and why."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import jconv
from jconv import machine, planner
from jconv.algorithms import ALGORITHMS, FACES
from jconv.costs import Sizes, held_by_matmul, milliseconds
from jconv.geometry import Geometry, make_geometry
from jconv.machine import EPYC, EPYC_CORE, XEON, XEON_CORE
from jconv.planner import Choice, choose


def sizes(batch, length, in_channels, out_channels, kernel_size, **options) -> Sizes:
    geometry = make_geometry(length, kernel_size, padding="causal", **options)
    return Sizes(geometry, batch, in_channels, out_channels)


def chosen(*args, **options) -> list[str]:
    return [choose("auto", face, sizes(*args, **options)).algorithm for face in FACES]


DENSE = sizes(16, 512, 128, 256, 5)
DEPTHWISE = sizes(4, 2048, 256, 256, 4, groups=256)


@pytest.mark.parametrize("face", FACES)
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_named_algorithm_is_taken(algorithm, face):
    for platform in ("cpu", "cuda", "tpu"):
        for of in (DENSE, DEPTHWISE, DENSE._replace(batch=0)):
            choice = choose(algorithm, face, of, measured="fft", platform=platform)
            assert choice == Choice(algorithm, "asked for by name")


@pytest.mark.parametrize("name", ["nothing", "", "LAX", None, 3, ["lax"]])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError) as error:
        planner.check_algorithm(name)
    names = "auto, einsum, fft, grouped, lax, matmul, polyphase, shifts, winograd"
    assert str(error.value) == f"algorithm must be one of {names}, got {name!r}"


def test_known_names_are_not_refused():
    for name in ("auto", *ALGORITHMS):
        planner.check_algorithm(name)


@pytest.mark.parametrize("algorithm", ["auto", *ALGORITHMS])
def test_what_the_partitioner_splits_is_a_contraction(algorithm):
    for face in FACES:
        for members in (1, 8):
            choice = choose(algorithm, face, DEPTHWISE, members=members, measured="shifts", partitioned=True)
            assert choice.algorithm == "einsum" and not choice.one_by_one
            assert "partitioner" in choice.reason


@pytest.mark.parametrize("platform", ["cuda", "rocm", "tpu", "several platforms"])
def test_other_platforms_get_lax_at_once(platform):
    for face in FACES:
        for of in (DENSE, DEPTHWISE):
            choice = choose("auto", face, of, platform=platform, members=8)
            assert choice.algorithm == "lax" and not choice.one_by_one
            assert platform in choice.reason


def test_symbolic_sizes_get_lax_or_the_contraction():
    batch, length = jax.export.symbolic_shape("b, t", constraints=["t >= 8"])
    symbolic = [
        Sizes(Geometry(64, 3, groups=8), batch, 8, 8),
        Sizes(make_geometry(length, 3, padding="causal", groups=8), 4, 8, 8),
        Sizes(make_geometry(length, 3, padding="same", stride=2, groups=8), 4, 8, 8),
    ]
    for face in FACES:
        for of in symbolic:
            assert choose("auto", face, of).algorithm == "lax"
            assert "symbolic" in choose("auto", face, of).reason
            for name in ALGORITHMS:
                choice = choose(name, face, of)
                assert choice.algorithm == (name if name in ("lax", "einsum") else "lax")
                assert (choice.reason == "asked for by name") == (name in ("lax", "einsum"))


def test_members_of_a_symbolic_number_go_one_by_one():
    (members,) = jax.export.symbolic_shape("m")
    assert choose("lax", "forward", DENSE, members=members).one_by_one


@pytest.mark.parametrize("empty", [{"batch": 0}, {"in_channels": 0}, {"out_channels": 0}])
def test_nothing_to_compute_needs_no_thought(empty):
    for face in FACES:
        choice = choose("auto", face, DENSE._replace(**empty))
        assert choice == Choice("lax", "nothing to compute")


def test_a_measurement_is_used_with_auto_and_one_member_only():
    for face in FACES:
        choice = choose("auto", face, DENSE, measured="fft")
        assert choice == Choice("fft", "the fastest that jconv.tune measured here")
        assert choose("auto", face, DENSE, measured="fft", platform="cuda").algorithm == "fft"
        assert choose("auto", face, DENSE, measured="fft", members=2) == choose("auto", face, DENSE, members=2)
        assert choose("lax", face, DENSE, measured="fft").algorithm == "lax"


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_only_convolutions_go_one_by_one(algorithm):
    of_convolutions = algorithm in ("lax", "grouped", "polyphase")
    for face in FACES:
        assert choose(algorithm, face, DENSE, members=16).one_by_one == of_convolutions
        assert not choose(algorithm, face, DENSE, members=1).one_by_one
        assert not choose(algorithm, face, DENSE, members=16, platform="cuda").one_by_one


@pytest.mark.parametrize(
    ("args", "options", "expected"),
    [
        pytest.param((16, 512, 128, 256, 5), {}, ["winograd"] * 3, id="dense"),
        pytest.param((16, 512, 256, 128, 3), {}, ["winograd"] * 3, id="dense, three taps"),
        pytest.param((2, 4096, 64, 128, 2), {}, ["lax", "lax", "winograd"], id="dense of two taps"),
        pytest.param((32, 250, 128, 196, 17), {"stride": 4}, ["winograd"] * 3, id="dense, strided"),
        pytest.param((64, 152, 32, 32, 10), {}, ["lax"] * 3, id="dense of ten taps"),
        pytest.param((4, 2048, 256, 256, 4), {"groups": 256}, ["shifts"] * 3, id="depthwise"),
        pytest.param((4, 2048, 256, 256, 31), {"groups": 256}, ["shifts"] * 3, id="depthwise, 31 taps"),
        pytest.param((4, 2048, 256, 256, 7), {"groups": 256, "dilation": 8}, ["shifts"] * 3, id="depthwise, dilated"),
        pytest.param((4, 1024, 128, 256, 5), {"groups": 128}, ["shifts"] * 3, id="depthwise, multiplier 2"),
        pytest.param((4, 8192, 64, 64, 1024), {"groups": 64}, ["fft"] * 3, id="depthwise, 1024 taps"),
        pytest.param((8, 16000, 1, 1, 1024), {}, ["fft"] * 3, id="one channel, 1024 taps"),
        pytest.param((2, 4000, 16, 16, 200), {}, ["fft"] * 3, id="dense of 200 taps"),
        pytest.param((8, 1024, 128, 128, 9), {"groups": 8}, ["grouped", "grouped", "shifts"], id="grouped"),
        pytest.param((4, 1024, 256, 256, 5), {"groups": 16}, ["shifts"] * 3, id="groups of 16 channels"),
        pytest.param((16, 512, 16, 16, 5), {}, ["grouped", "grouped", "shifts"], id="few channels"),
        pytest.param((8, 1024, 256, 256, 3), {"groups": 32}, ["shifts"] * 3, id="many groups"),
        pytest.param((1, 3199, 512, 512, 2), {"stride": 2}, ["lax", "matmul", "matmul"], id="side by side"),
        pytest.param((4, 2000, 128, 256, 16), {"stride": 8}, ["lax", "winograd", "winograd"], id="strided"),
        pytest.param((16, 512, 128, 256, 1), {}, ["lax", "lax", "matmul"], id="pointwise"),
    ],
)
def test_the_choices_of_a_cpu(args, options, expected):
    assert chosen(*args, **options) == expected


def test_the_first_layer_of_a_network():
    # one channel in, many out: a window has few numbers, and nobody needs the gradient of the input
    forward, _, kernel_gradient = chosen(16, 512, 1, 128, 8)
    assert (forward, kernel_gradient) == ("shifts", "einsum")
    assert chosen(8, 16000, 1, 1, 16)[0] == "shifts"


@pytest.mark.parametrize("args", [(1, 150, 64, 128, 5), (1, 152, 32, 32, 40), (1, 200, 16, 32, 8)], ids=str)
def test_the_kernel_gradient_of_one_example_is_no_convolution(args):
    # Its one feature is what XLA's convolution is slow at, and so is a copy of x a tap for many at once.
    for members in (1, 64):
        assert choose("auto", "kernel_gradient", sizes(*args), members=members).algorithm in ("einsum", "shifts")
    assert choose("auto", "kernel_gradient", sizes(16, *args[1:])).algorithm != "einsum"
    assert "matmul" not in planner.candidates("kernel_gradient", sizes(*args), members=2)


@pytest.mark.parametrize("face", FACES)
def test_so_many_groups_are_never_compiled_one_by_one(face):
    most = planner.MOST_GROUPS
    assert "grouped" in planner.candidates(face, sizes(4, 100, most, most, 64, groups=most))
    assert ("grouped" in planner.candidates(face, DENSE)) == (face != "kernel_gradient")
    assert "grouped" not in planner.candidates(face, sizes(4, 100, 2 * most, 2 * most, 64, groups=2 * most))
    # nor as the phases of a stride, whose groups of more than two channels are convolutions too
    for per_group, offered in ((1, True), (4, False)):
        strided = sizes(4, 100, 2 * most * per_group, 2 * most * per_group, 64, stride=2, groups=2 * most)
        assert ("polyphase" in planner.candidates(face, strided)) == offered


def test_the_reason_says_what_was_foreseen():
    ms = {name: milliseconds(name, "forward", DEPTHWISE) for name in ("shifts", "lax")}
    reason = choose("auto", "forward", DEPTHWISE).reason
    assert reason == f"{ms['shifts']:.3g} ms foreseen, {ms['lax']:.3g} by lax"
    pairs = sizes(2, 4096, 64, 128, 2)
    foreseen = milliseconds("lax", "forward", pairs)
    assert choose("auto", "forward", pairs).reason == f"{foreseen:.3g} ms foreseen; none by much less"


def test_what_is_foreseen_must_beat_lax_by_a_margin(monkeypatch):
    times = {"lax": 1.0, "shifts": planner.MARGIN + 0.01}
    monkeypatch.setattr(planner, "milliseconds", lambda name, face, sizes, machine: times.get(name, 2.0))
    assert choose("auto", "forward", DENSE).algorithm == "lax"
    times["shifts"] = planner.MARGIN - 0.01
    assert choose("auto", "forward", DENSE).algorithm == "shifts"


def test_members_want_a_wider_margin(monkeypatch):
    times = {"lax": 1.0, "shifts": (planner.MARGIN + planner.MARGIN_OF_MEMBERS) / 2}
    # What is of all members at once is asked about as one of so many more rows.
    monkeypatch.setattr(planner, "milliseconds", lambda name, face, sizes, machine: times.get(name, 2 * sizes.batch))
    assert choose("auto", "forward", DENSE).algorithm == "shifts"
    assert choose("auto", "forward", DENSE, members=8).algorithm == "lax"
    times["matmul"] = 7.9 * times["shifts"]
    assert choose("auto", "forward", DENSE, members=8).algorithm == "matmul"
    del times["matmul"]
    of_groups = sizes(8, 1024, 128, 128, 9, groups=8)
    assert choose("auto", "forward", of_groups, members=8).algorithm == "shifts"


@pytest.mark.parametrize("constants", [EPYC, EPYC_CORE, XEON, XEON_CORE])
def test_few_channels_are_held_by_matmul(constants):
    few_out, few_in = sizes(16, 512, 64, 2, 7), sizes(16, 512, 2, 64, 7)
    assert choose("auto", "forward", few_out, machine=constants).algorithm == "matmul"
    assert choose("auto", "input_gradient", few_in, machine=constants).algorithm == "matmul"
    assert choose("auto", "forward", few_in, machine=constants).algorithm == "shifts"


def test_one_product_is_no_candidate_where_it_would_hold_too_much():
    many_taps = sizes(2, 4096, 16, 16, 33)
    for face in ("forward", "input_gradient"):
        assert held_by_matmul(face, many_taps) > planner.MOST_HELD * many_taps.elements
        assert "matmul" not in planner.candidates(face, many_taps)
        assert "matmul" in planner.candidates(face, many_taps._replace(geometry=Geometry(4096, 3)))


@pytest.mark.parametrize("face", ["forward", "input_gradient"])
def test_one_core_multiplies_less_where_two_do_not(face):
    # A product of a batch of so few rows leaves the second core idle.
    small = sizes(16, 96, 64, 64, 5)
    assert choose("auto", face, small, machine=EPYC_CORE).algorithm == "winograd"
    assert choose("auto", face, small, machine=EPYC).algorithm == "lax"


@pytest.mark.parametrize("face", FACES)
def test_tiles_are_not_for_a_machine_that_multiplies_faster_than_it_moves(face):
    # By the Xeon's two cores 7.5 ms forward by lax and 9.5 by tiles, by the EPYC's 8.4 and 6.8.
    dense = sizes(16, 512, 256, 128, 3)
    assert choose("auto", face, dense).algorithm == "winograd"
    assert choose("auto", face, dense, machine=XEON).algorithm == "lax"


@pytest.mark.parametrize("face", FACES)
def test_tiles_can_be_left_out(face):
    assert choose("auto", face, DENSE).algorithm == "winograd"
    for members in (1, 8):
        assert choose("auto", face, DENSE, members=members, tiles=False).algorithm != "winograd"
    assert choose("auto", face, DENSE, measured="winograd", tiles=False).algorithm == "lax"
    assert choose("auto", face, DENSE, measured="matmul", tiles=False).algorithm == "matmul"
    assert choose("winograd", face, DENSE, tiles=False).algorithm == "winograd"


def test_who_asks_for_the_highest_precision_gets_no_tiles(monkeypatch):
    monkeypatch.setattr(machine, "processor", lambda: "AMD EPYC")
    monkeypatch.setattr(machine, "cores", lambda: 2)
    params, x = {"kernel": np.zeros((5, 128, 256), np.float32)}, np.zeros((16, 512, 128), np.float32)

    def algorithms(**options):
        return {plan.algorithm for plan in jconv.explain(params, x, **options)}

    assert algorithms() == {"winograd"}
    for highest in ("highest", "float32", jax.lax.Precision.HIGHEST, ("default", "highest")):
        assert "winograd" not in algorithms(precision=highest)
    with jax.default_matmul_precision("highest"):
        assert "winograd" not in algorithms()
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


@given(any_sizes(), st.sampled_from(FACES))
def test_there_is_one_choice_for_all_sizes(of, face):
    names = planner.candidates(face, of)
    assert "lax" in names and set(names) <= set(ALGORITHMS) and len(set(names)) == len(names)
    assert not of.products or all(milliseconds(name, face, of) > 0 for name in ALGORITHMS)
    choice = choose("auto", face, of)
    assert choice == choose("auto", face, of) and choice.algorithm in names and choice.reason
    assert choice.reason.isprintable()


def test_the_faces_are_those_of_the_algorithms():
    for algorithm in ALGORITHMS.values():
        assert all(callable(getattr(algorithm, face)) for face in FACES)
    assert set(planner.OF_CONVOLUTIONS) | set(planner.OF_ANY_SIZE) <= set(ALGORITHMS)
