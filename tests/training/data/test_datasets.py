"""Reading of data sets: supported files, and the error message for each other file."""

import io
import zipfile

import numpy as np
import pytest

from training.data import synthetic
from training.data.datasets import check_classes, load, sample_mask, series
from training.data.scaling import standardize
from training.data.splits import split
from training.errors import UserError

TABLE = "1\t0.5\t1.5\t2.5\n2\t3.5\t4.5\t5.5\n"
X = np.arange(12.0).reshape(3, 4)
Y = np.array([0, 1, 1])
KINDS = ".npz, .npy, .tsv, .csv, .ts, .arff"


@pytest.fixture
def save(tmp_path, monkeypatch):
    """A function that writes text, bytes or arrays to a file in the current folder and returns its name."""
    monkeypatch.chdir(tmp_path)

    def write(name, content="", **arrays):
        if arrays:
            np.savez(name, **arrays)
        elif isinstance(content, bytes):
            (tmp_path / name).write_bytes(content)
        else:
            (tmp_path / name).write_text(content, encoding="utf-8")
        return name

    return write


def _message(source):
    with pytest.raises(UserError) as caught:
        check_classes(load(source))
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_gunpoint_equals_the_archive():
    data = load("gunpoint")
    assert data.x_train.shape == (50, 150, 1) and data.x_test.shape == (150, 150, 1)
    assert data.classes == ("gun-draw", "point")
    assert np.bincount(data.y_train).tolist() == [24, 26] and np.bincount(data.y_test).tolist() == [76, 74]
    # The archive's series are z-normalized one by one.
    np.testing.assert_allclose(data.x_train.mean(axis=1), 0, atol=1e-6)
    np.testing.assert_allclose(data.x_train.std(axis=1, ddof=1), 1, atol=1e-5)


def test_tsv_with_its_test_file(save):
    save("a_TEST.tsv", "2\t1\t1\t1\n")
    data = load(save("a_TRAIN.tsv", TABLE))
    assert data.name == "a" and data.classes == ("1", "2")
    assert data.x_train[:, :, 0].tolist() == [[0.5, 1.5, 2.5], [3.5, 4.5, 5.5]]
    assert data.y_train.tolist() == [0, 1] and data.y_test.tolist() == [1]
    assert load(save("b.tsv", TABLE)).x_test is None


@pytest.mark.parametrize(
    "head", ["", "label,a,b,c\n", "class,0,1,2\n", "kind,t0,t1,t2\n", "\ufefflabel,a,b,c\n", "\n  \n"]
)
def test_csv_with_and_without_a_header(save, head):
    data = load(save("a.csv", head + 'up, 1,2,3\n"down",4,5e0,6\n'))
    assert data.classes == ("down", "up") and data.y_train.tolist() == [1, 0]
    assert data.x_train[:, :, 0].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_constant_series_can_be_predicted_but_not_trained_on(save):
    flat = save("a.csv", "1,3,3,3\n")
    assert _message(flat) == "a: the training series is 3 everywhere; there is nothing to learn"
    assert series(flat, length=3).x.tolist() == [[[3], [3], [3]]]


@pytest.mark.parametrize(("scale", "deviation"), [(1e-200, "0"), (1e200, "inf")])
def test_values_whose_deviation_is_zero_or_infinite(save, scale, deviation):
    """Their squares are too small or too large for floats."""
    data = load(save("a.npz", x_train=np.stack([X, X * scale], -1), y_train=Y))
    with pytest.raises(UserError) as caught:
        standardize(data)
    message = f"a: the standard deviation of channel 2 of the training series is {deviation}, which cannot scale it"
    assert str(caught.value) == f"{message}; use another unit"


@pytest.mark.parametrize("head", ["who,0,1,2\n", ",1,2,3\n"])
def test_a_header_of_consecutive_numbers(save, head):
    rows = "up,1,2,3\nup,2,2,3\ndown,4,5,6\n"
    assert len(load(save("a.csv", head + rows)).x_train) == 3
    # A series may consist of consecutive numbers, and a label may occur once.
    assert len(load(save("a.csv", rows)).x_train) == 3
    assert len(load(save("a.csv", "who,1,2,3\nup,2,2,3\n")).x_train) == 2


def test_labels_are_ordered_by_value_and_written_as_whole_numbers(save):
    data = load(save("a.csv", "10,1,2\n9.0,3,4\n-1.0e+00,5,6\n"))
    assert data.classes == ("-1", "9", "10") and data.y_train.tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    "labels",
    [["1_2", "12", "12"], [2**53, 2**53 + 1, 2**53 + 1], [2**63 + 1, 2**63, 2**63], ["\u0663", "3", "3"]],
    ids=["underscore", "int64", "uint64", "other digits"],
)
def test_different_labels_stay_different(save, labels):
    """Python's `float` reads each pair as one number."""
    rows = "".join(f"{label},{i},{i * i}\n" for i, label in enumerate(labels))
    for file in (save("a.csv", rows), save("a.npz", x_train=X, y_train=np.array(labels))):
        data = load(file)
        assert set(data.classes) == set(map(str, labels))
        assert data.y_train.tolist() == [data.classes.index(str(label)) for label in labels]


def test_classes_are_in_order_with_a_label_that_is_no_number(save):
    """The text nan cannot be compared as a number, and the order of a set of texts differs between processes."""
    data = load(save("a.npz", x_train=np.eye(5), y_train=np.array(["nan", "10", "9", "2", "1"])))
    assert data.classes == ("1", "10", "2", "9", "nan") and data.targets_train is None


@pytest.mark.parametrize(
    "labels", [[0, 1, 1], [0.0, 1.0, 1.0], ["a", "b", "b"], [b"a", b"b", b"b"], [False, True, True]]
)
def test_npz_labels_of_any_kind(save, labels):
    data = load(save("a.npz", x_train=X, y_train=np.array(labels)))
    assert data.y_train.tolist() == [0, 1, 1] and len(data.classes) == 2


def test_npz_files_may_have_several_channels(save):
    x = np.random.default_rng(0).standard_normal((3, 5, 2)).astype(np.float32)
    data = load(save("a.npz", x_train=x, y_train=Y, x_test=x[:1], y_test=Y[:1], note="anything"))
    assert data.x_train.dtype == np.float64 and data.x_test.shape == (1, 5, 2)
    scaled, mean, deviation = standardize(data)
    np.testing.assert_allclose(scaled.x_train.mean((0, 1)), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.x_test, (x[:1] - mean) / deviation, rtol=1e-6)


TABLE_MISTAKES = {
    "": "a.csv: the file is empty",
    "\n\n": "a.csv: the file is empty",
    "label,a,b\n": "a.csv: there is a header row and no series",
    "1,2,3\n2\n": "a.csv: row 2 has a label and no values; the layout is label, value, value, ...",
    "1,2,3\n,5,6\n": "a.csv: row 2 has no label; the layout is label, value, value, ...",
    "1,2,3\n2,5,six\n": "a.csv: row 2, column 3 is not a number: 'six'",
    "1,2,x\n2,5,6\n": "a.csv: row 1, column 3 is not a number: 'x'",
    "2,3,up\n5,6,down\n": "a.csv: the last column has text, as 'up'; labels must be in the first column",
    "t0,t1,label\n2,3,up\n5,6,up\n": "a.csv: the last column has text, as 'up'; labels must be in the first column",
    "1,2,3,4\n2,,,\n": "a: training series 2 has no values",
    "1,2,3,4\n2,5,?,6\n": "a: training series 2 is missing (NaN) at sample 2",
    "1,2,3,4\n2,5,inf,6\n": "a: training series 2 is infinite at sample 2",
    "1,2,3\n1,5,6\n": "a: all training series have the label '1'; at least two classes are needed",
    "1,2,2\n2,2,2\n": "a: the training series is 2 everywhere; there is nothing to learn",
    '1,2,3\n2,"5,6\n': "a.csv: cannot be read as a table: unexpected end of data",
}


@pytest.mark.parametrize("text", TABLE_MISTAKES)
def test_errors_in_a_table(save, text):
    assert _message(save("a.csv", text)) == TABLE_MISTAKES[text]


@pytest.mark.parametrize(
    "text", ["1,2,3,4\n2,5,6\n", "1,2,3,4\n2,5,6,\n", "1,2,3,4\n2,5,6,NaN\n", "label,a,b,c\n1,2,3,4\n2,5,6,?\n"]
)
def test_series_of_variable_length(save, text):
    data = load(save("a.csv", text))
    assert data.lengths_train.tolist() == [3, 2] and data.x_train[:, :, 0].tolist() == [[2, 3, 4], [5, 6, 0]]
    scaled, mean, deviation = standardize(data)
    own = np.array([2, 3, 4, 5, 6.0])
    assert mean == own.mean() and deviation == own.std() and scaled.x_train[1, 2, 0] == 0


def test_a_test_set_of_longer_series(save):
    save("a_TEST.tsv", "2\t1\t2\t3\t4\n")
    data = load(save("a_TRAIN.tsv", "1\t1\t2\t3\n2\t1\t2\n"))
    assert data.x_train.shape == (2, 4, 1) and data.lengths_train.tolist() == [3, 2]
    assert data.x_test.shape == (1, 4, 1) and data.lengths_test.tolist() == [4]


def test_npy_files_of_single_arrays(save, tmp_path):
    for name, array in {"x_train": X, "y_train": Y, "x_test": X[:1], "y_test": Y[:1]}.items():
        np.save(tmp_path / f"walk_{name}.npy", array)
    data = load("walk_x_train.npy")
    assert data.x_train.shape == (3, 4, 1) and data.y_test.tolist() == [0]
    np.save(tmp_path / "b.npy", X)
    assert _message("b.npy").startswith("b.npy: is an array without labels; name it ...x_train.npy")
    (tmp_path / "walk_y_test.npy").unlink()
    assert _message("walk_x_train.npy").endswith(
        "there is walk_x_test.npy and no walk_y_test.npy; a test set needs both"
    )
    (tmp_path / "walk_y_train.npy").unlink()
    assert _message("walk_x_train.npy").endswith("there is no walk_y_train.npy beside it, with the labels")


TS = "@problemName a\n@univariate true\n@equalLength true\n@classLabel true up down\n@data\n1,2,3:up\n4,5,6:down\n"
ARFF = "@relation a\n@attribute t0 numeric\n@attribute t1 numeric\n@attribute c {up,down}\n@data\n1,2,up\n4,5,down\n"


def test_files_that_aeon_reads(save):
    save("a_TEST.ts", TS)
    data = load(save("a_TRAIN.ts", TS))
    assert data.x_train[:, :, 0].tolist() == [[1, 2, 3], [4, 5, 6]] and data.classes == ("down", "up")
    assert data.y_test.tolist() == [1, 0]
    assert load(save("b.arff", ARFF)).x_train[:, :, 0].tolist() == [[1, 2], [4, 5]]
    for name in ("c.ts", "c.arff"):
        assert _message(save(name, "nonsense")).startswith(f"{name}: cannot be read as {name[1:]} by aeon: ")
    bare = TS.replace("true up down", "false").replace(":up", "").replace(":down", "")
    assert _message(save("d.ts", bare)) == "d.ts: has 2 series and 0 labels"


@pytest.mark.parametrize(
    ("name", "train", "test", "classes"),
    [
        ("ItalyPowerDemand", (67, 24, 1), (1029, 24, 1), 2),
        ("BasicMotions", (40, 100, 6), (40, 100, 6), 4),
        ("JapaneseVowels", (270, 29, 12), (370, 29, 12), 9),
        ("PickupGestureWiimoteZ", (50, 361, 1), (50, 361, 1), 10),
    ],
)
def test_sets_inside_aeon_are_loaded(name, train, test, classes):
    data = load(name)
    assert data.x_train.shape == train and data.x_test.shape == test and len(data.classes) == classes
    assert (data.lengths_train is None) == (name in ("ItalyPowerDemand", "BasicMotions"))


def test_series_that_aeon_extends_to_equal_length():
    own, equal = load("PickupGestureWiimoteZ"), load("PickupGestureWiimoteZ_eq")
    assert equal.lengths_train is equal.lengths_test is None
    present = sample_mask(own.x_train, own.lengths_train)
    np.testing.assert_array_equal(equal.x_train[present], own.x_train[present])
    assert np.all(equal.x_train[~present] > 0)


def test_a_failed_download_is_one_line(monkeypatch, tmp_path):
    import aeon.datasets

    def none(name, **options):
        assert options["extract_path"] == str(tmp_path / "jconv" / "archives")
        raise OSError("no network,\nnone at all")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(aeon.datasets, "load_classification", none)
    assert _message("Adiac") == "Adiac: is not in aeon's package and could not be downloaded: no network, none at all"


def test_cylinders_bells_and_funnels_have_their_shapes():
    part = synthetic.cbf(np.random.default_rng(1), 300)
    means = [part.x[np.array(part.labels) == name, 40:100, 0].mean(0) for name in synthetic.CBF_CLASSES]
    # A bell rises and a funnel falls; a cylinder does neither until it ends.
    rises = [np.polyfit(np.arange(20), mean[:20], 1)[0] for mean in means]
    assert rises[1] > 0.02 and rises[2] < rises[0] < rises[1]
    data = load("cbf")
    assert data.x_train.shape == (30, 128, 1) and data.x_test.shape == (900, 128, 1)
    assert np.bincount(data.y_train).tolist() == [10, 10, 10]


def _without(name):
    return {key: value for key, value in {"x_train": X, "y_train": Y}.items() if key != name}


NPZ_MISTAKES = [
    (_without("x_train"), "a.npz: there is no x_train; the file contains y_train"),
    (_without("y_train"), "a.npz: there is no y_train; the file contains x_train"),
    ({"x_train": X, "y_train": Y, "x_test": X}, "a.npz: there is x_test and no y_test; a test set needs both"),
    ({"x_train": X, "y_train": Y, "y_test": Y}, "a.npz: there is y_test and no x_test; a test set needs both"),
    ({"x_train": X[0]}, "a.npz: x_train must be (n, length) or (n, length, channels), got shape (4,)"),
    ({"x_train": X[:0]}, "a.npz: x_train is empty, its shape is (0, 4)"),
    ({"x_train": X.astype(str)}, "a.npz: x_train must contain real numbers, got <U32"),
    ({"x_train": X * 1j}, "a.npz: x_train must contain real numbers, got complex128"),
    ({"y_train": Y[:2]}, "a.npz: x_train has 3 series and y_train 2 labels"),
    (
        {"y_train": np.eye(3)},
        "a.npz: y_train must be (n,), one label per series, or (3, 4), one label per sample, got shape (3, 3)",
    ),
    ({"y_train": Y + 0.5}, "a: labels are numbers with fractions, not classes; --task regression learns them"),
    ({"y_train": np.array([0, 1, np.nan])}, "a.npz: y_train must contain finite numbers or text, got nan"),
    ({"y_train": Y * 1j}, "a.npz: y_train must contain numbers or text, got complex128"),
    (
        {"y_train": np.array(["a", None, 1], object)},
        "a.npz: y_train is an array of Python objects or damaged; save numbers, or text as a str array",
    ),
    (
        {"x_test": X[:, :2], "y_test": Y},
        "a: test series are 2 samples of 1 channel, training series 4 samples of 1 channel",
    ),
    ({"x_test": X, "y_test": Y + 1}, "a: the label '2' is in the test set and not in the training set"),
    ({"x_test": np.where(X == 0, np.nan, X), "y_test": Y}, "a: test series 1 is missing (NaN) at sample 1"),
    (
        {"x_train": np.stack([X, np.full_like(X, 7)], -1)},
        "a: channel 2 of the training series is 7 everywhere; there is nothing to learn",
    ),
    (
        {"x_train": np.stack([X, np.where(X == 6, np.nan, X)], -1)},
        "a: training series 2 is missing (NaN) at sample 3, channel 2",
    ),
]


@pytest.mark.parametrize(("arrays", "message"), NPZ_MISTAKES, ids=[message[:60] for _, message in NPZ_MISTAKES])
def test_errors_in_arrays(save, arrays, message):
    if ": there is" not in message:
        arrays = {"x_train": X, "y_train": Y} | arrays
    assert _message(save("a.npz", **arrays)) == message


def test_errors_of_the_file(save, tmp_path):
    assert _message("gunpont") == (
        "there is no file 'gunpont' and no data set of that name; built in: gunpoint, cbf, bursts; in aeon's package: "
        "ACSF1, ArrowHead, BasicMotions, CardanoSentiment, Covid3Month, GunPoint, ItalyPowerDemand, JapaneseVowels, "
        "OSULeaf, PickupGestureWiimoteZ"
    )
    assert _message("series.csv") == "series.csv: no such file"
    assert _message(f"{'a' * 300}.csv").endswith("a.csv: no such file")
    assert _message(save("a.xlsx", TABLE)) == f"a.xlsx: cannot read a file ending in .xlsx; use one of {KINDS}"
    assert _message(save("plain", TABLE)) == f"plain: cannot read a file without a suffix; use one of {KINDS}"
    (tmp_path / "folder.csv").mkdir()
    assert _message("folder.csv") == "folder.csv is a folder; give a file in it"
    assert _message(save("b.csv", b"1,\xff\xfe,2")) == "b.csv: is not a text file in UTF-8"
    assert _message(save("c.npz", b"")) == "c.npz: the file is empty"
    assert _message(save("d.npz", b"not an archive")) == "d.npz: is not a NumPy .npz file"
    single = io.BytesIO()
    np.save(single, X)
    expected = "e.npz: is a single array; save several with numpy.savez(path, x_train=..., y_train=...)"
    assert _message(save("e.npz", single.getvalue())) == expected


def test_a_damaged_array_is_named(save):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("x_train.npy", b"\x93NUMPY garbage")
    expected = "a.npz: x_train is an array of Python objects or damaged; save numbers, or text as a str array"
    assert _message(save("a.npz", content.getvalue())) == expected


def test_a_share_of_each_class_is_held_out(save):
    y = np.repeat(["a", "b", "c"], [20, 9, 1])
    x = np.arange(len(y))[:, None] + np.arange(4.0)
    data = load(save("a.npz", x_train=x, y_train=y))
    drawn = set()
    for seed in range(9):
        kept, held = split(data, 0.1, seed, stratified=True)
        counts = np.bincount(held.y_test, minlength=3)
        # Three in all, unless the only series of a class is among them.
        assert counts[0] == 2 and counts[1] in (0, 1) and counts[2] == 0
        rows = [*kept.x_train[:, 0, 0], *held.x_test[:, 0, 0]]
        assert sorted(rows) == x[:, 0].tolist() and kept.x_train is held.x_train
        assert (data.y_train[held.x_test[:, 0, 0].astype(int)] == held.y_test).all()
        drawn.add(tuple(held.x_test[:, 0, 0]))
    assert len(drawn) > 5
    again = split(data, 0.1, 0, stratified=True)[1]
    np.testing.assert_array_equal(again.x_test, split(data, 0.1, 0, stratified=True)[1].x_test)
    with pytest.raises(UserError, match=r"--validation 0.001 of 30 training series is none of them"):
        split(data, 0.001, 0, stratified=False)
    with pytest.raises(UserError, match=r"--validation 0.999 of 30 training series is all of them"):
        split(data, 0.999, 0, stratified=False)
    distinct = load(save("b.npz", x_train=x, y_train=np.arange(len(x))))
    with pytest.raises(UserError, match=r"0.2 of 30 training series is none of them: each has a label of its own$"):
        split(distinct, 0.2, 0, stratified=True)


COUNTING_HEADER = "0,1,2,3\n"


@pytest.mark.parametrize(
    "rows",
    ["0,1.5,2,3\n1,4,5,6\n1,2,5,6\n", "2,1.5,2,3\n1,4,5,6\n", "0.5,1.5,2,3\n1.5,4,5,6\n", "a,1,2,3\nb,4,5,6\n"],
    ids=["one label is 0", "no label is 0", "targets", "text"],
)
def test_the_header_that_pandas_writes(save, rows):
    """`DataFrame.to_csv(index=False)` of unnamed columns writes a header, which is no series."""
    data = load(save("a.csv", COUNTING_HEADER + rows))
    assert len(data.x_train) == rows.count("\n") and data.x_train[0, 0, 0] in (1.5, 1)
    assert data.notes == ("a.csv: the first row, 0, 1, ..., 3, is read as a header, not as a series",)
    assert load(save("b.csv", rows)).notes == ()


def test_a_header_of_a_word_and_counts_above_numbers(save):
    data = load(save("a.csv", "speed,0,1,2\n0.5,4,5,6\n1.25,7,8,9\n"))
    assert data.x_train[:, 0, 0].tolist() == [4, 7] and data.has_fractional_labels


@pytest.mark.parametrize("head", [",who,0,1,2\n", ",0,1,2,3\n", '"","V1","V2","V3","V4"\n', "Unnamed: 0,who,a,b,c\n"])
@pytest.mark.parametrize("first", [0, 1])
def test_an_index_column_is_left_out(save, head, first):
    rows = ["up,1,2,3", "up,2,2,3", "down,4,5,6"]
    table = head + "".join(f"{number},{row}\n" for number, row in enumerate(rows, first))
    data = load(save("a.csv", table))
    assert data.classes == ("down", "up") and data.x_train[:, :, 0].tolist() == [[1, 2, 3], [2, 2, 3], [4, 5, 6]]
    assert data.notes == ("a.csv: the first column counts the rows; it is read as an index, not as labels",)


def test_an_index_without_a_header_gives_a_note(save):
    data = load(save("a.csv", "0,1,5,3\n1,1,2,3\n2,2,5,6\n"))
    assert data.classes == ("0", "1", "2")
    message = "a.csv: the first column counts the rows and is read as labels; if it is an index, write the table"
    assert data.notes == (f"{message} without it",)


STEPS = np.random.default_rng(0).normal(size=(4, 9)).round(2)


def _table(head, firsts, delimiter=","):
    rows = [[*first, *row] for first, row in zip(firsts, STEPS.tolist(), strict=True)]
    return "".join(delimiter.join(map(str, row)) + "\n" for row in [*([head] if head else []), *rows])


@pytest.mark.parametrize("labels", [[0, 1, 1, 0], [0.0, 1.0, 1.0, 0.0], ["a", "b", "b", "a"]])
@pytest.mark.parametrize(
    "head",
    [np.arange(10.0).tolist(), range(1, 11), ["speed", *np.arange(9) / 10], ["speed", *range(400, 490, 10)]],
    ids=["0.0, 1.0", "1, 2", "times", "wavelengths"],
)
def test_a_header_of_numbers_in_equal_steps(save, head, labels):
    """Such a header is no series."""
    data = load(save("a.csv", _table(head, [[label] for label in labels])))
    np.testing.assert_array_equal(data.x_train[:, :, 0], STEPS)
    assert len(data.classes) == 2
    first = f"{head[0]}, {head[1]}, ..., {head[-1]}"
    assert data.notes == (f"a.csv: the first row, {first}, is read as a header, not as a series",)


def test_rows_in_equal_steps_are_series_if_others_are_too(save):
    rows = "".join(",".join(map(str, range(first, first + 10))) + "\n" for first in (1, 2, 1))
    assert len(load(save("a.csv", rows)).x_train) == 3


def test_a_word_above_numbers_is_a_header(save):
    """The word is no class."""
    data = load(save("a.csv", "kind,0.1,0.7,0.8\n1,2,3,5\n2,4,5,5\n1,7,8,5\n"))
    assert data.classes == ("1", "2") and len(data.x_train) == 3
    assert data.notes == ("a.csv: the first row, kind, 0.1, ..., 0.8, is read as a header, not as a series",)


@pytest.mark.parametrize("labels", [[0, 1, 1, 0], ["a", "b", "b", "a"]])
@pytest.mark.parametrize("index", [[3, 0, 17, 8], ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]])
def test_an_index_in_another_order(save, index, labels):
    """`DataFrame.sample` and `train_test_split` change the order. The index is not read as labels."""
    firsts = list(zip(index, labels, strict=True))
    for head in (["", *range(10)], ["", "label", *range(9)]):
        data = load(save("a.csv", _table(head, firsts)))
        np.testing.assert_array_equal(data.x_train[:, :, 0], STEPS)
        assert data.classes == tuple(sorted(set(map(str, labels))))
        message = "a.csv: the first column has another value in each row; it is read as an index, not as labels"
        assert data.notes == (message,)


def test_an_index_of_another_name(save):
    data = load(save("a.csv", _table(["sample", *range(10)], [[n, n % 2] for n in range(4)])))
    assert data.classes == ("0", "1")
    assert data.notes == ("a.csv: the first column counts the rows; it is read as an index, not as labels",)


def test_labels_in_the_index_are_read(save):
    """`DataFrame(x, index=y).to_csv()`."""
    data = load(save("a.csv", _table(["", *range(9)], [["up"], ["down"], ["up"], ["up"]])))
    np.testing.assert_array_equal(data.x_train[:, :, 0], STEPS)
    assert data.classes == ("down", "up") and data.notes == ()


@pytest.mark.parametrize("delimiter", ["\t", ";"])
@pytest.mark.parametrize("head", [None, range(10)])
def test_a_csv_with_other_delimiters(save, delimiter, head):
    data = load(save("a.csv", _table(head, [[n % 2] for n in range(4)], delimiter)))
    np.testing.assert_array_equal(data.x_train[:, :, 0], STEPS)


def test_a_delimiter_at_the_end_of_each_row(save):
    """The empty last column is no missing sample of each series."""
    data = load(save("a.csv", "0,1,2,5,\n1,2,5,4,\n0,7,8,8,\n"))
    assert data.x_train.shape == (3, 3, 1) and data.lengths_train is None


def test_channels_first_arrays(save):
    """The layout of aeon, sktime, tsai and PyTorch."""
    x = np.random.default_rng(0).standard_normal((3, 2, 9))
    data = load(save("a.npz", x_train=x, y_train=Y, x_test=x[:1], y_test=Y[:1]), channels_first=True)
    np.testing.assert_array_equal(data.x_train, x.swapaxes(1, 2))
    assert data.x_test.shape == (1, 9, 2) and data.notes == ()
    other = x.swapaxes(1, 2)
    loaded = load(save("b.npz", x_train=x, y_train=Y))
    words = "b.npz: x_train has series of 2 samples and 9 channels, read as (n, length, channels)"
    assert loaded.notes == (f"{words}; --channels first reads (n, channels, length)",)
    assert load(save("c.npz", x_train=other, y_train=Y)).notes == ()
    by_sample = load(save("d.npz", x_train=x, y_train=np.arange(27).reshape(3, 9) % 2), channels_first=True)
    assert by_sample.has_sample_labels and by_sample.x_train.shape == (3, 9, 2)
    np.save("w_x_train.npy", x)
    np.save("w_y_train.npy", Y)
    assert load("w_x_train.npy", channels_first=True).x_train.shape == (3, 9, 2)
    for source in (save("e.csv", TABLE), "gunpoint"):
        with pytest.raises(UserError, match="--channels first is for arrays: files"):
            load(source, channels_first=True)


def test_bursts_have_a_class_for_each_sample():
    data = load("bursts")
    assert data.has_sample_labels and data.classes == ("fast", "quiet", "slow")
    assert data.x_train.shape == (60, 128, 1) and data.y_test.shape == (200, 128)
    shares = np.bincount(data.y_train.ravel()) / data.y_train.size
    assert (shares > 0.1).all()
    # A burst is louder than the samples around it, and a fast burst changes its sign more often.
    x, y = data.x_train[:, :, 0], data.y_train
    loud = [x[y == number].std() for number in range(3)]
    assert min(loud[0], loud[2]) > 2 * loud[1]
    turns = [(np.sign(x[:, 1:]) != np.sign(x[:, :-1]))[(y[:, 1:] == n) & (y[:, :-1] == n)].mean() for n in range(3)]
    assert turns[0] > 2 * turns[2]
