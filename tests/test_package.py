"""The built package: its contents, and that it works with only the requirements of an extra."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.support.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The sdist and the wheel, which `build` makes from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    return {path.suffix: path for path in out.iterdir()}


@pytest.fixture(scope="module")
def installed(built: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Creates an environment with only the wheel and the requirements of an extra ("": none); returns its `bin` folder.

    The requirements are links to the files of the environment that runs the tests: nothing is downloaded.
    """

    def install(extra: str) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        venv.create(folder, with_pip=False)
        python = folder / "bin/python"
        command = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", "--no-deps", "--no-index"]
        subprocess.run([*command, str(built[".whl"])], check=True)
        (packages,) = folder.glob("lib/python*/site-packages")
        (own,) = importlib.metadata.distributions(path=[str(packages)], name="jconv")
        for name in sorted(_required(own.requires or [], {extra}, own)):
            _link(importlib.metadata.distribution(name), packages)
        return python.parent

    return install


def _required(lines: list[str], extras: set[str], own: importlib.metadata.Distribution) -> set[str]:
    """The names of the distributions that requirements with these extras need, recursively; `own` is jconv's."""
    found: set[tuple[str, str]] = set()

    def walk(lines: list[str], extras: set[str]) -> Iterator[str]:
        for requirement in map(Requirement, lines):
            marker = requirement.marker
            if marker is not None and not any(marker.evaluate({"extra": extra}) for extra in extras):
                continue
            for extra in {"", *requirement.extras}:
                if (key := (requirement.name, extra)) in found:
                    continue
                found.add(key)
                distribution = own if requirement.name == own.name else importlib.metadata.distribution(key[0])
                if distribution is not own:
                    yield requirement.name
                yield from walk(distribution.requires or [], {extra})

    return set(walk(lines, extras | {""}))


def _link(distribution: importlib.metadata.Distribution, packages: Path) -> None:
    for name in {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}:
        if not (packages / name).exists():
            (packages / name).symlink_to(str(distribution.locate_file(name)))


def _run(command: list[str], folder: Path) -> str:
    done = _run_to_end(command, folder)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done.stdout


def _run_to_end(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    # Without PYTHONPATH, which names the checkout.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_the_wheel_contains_jconv_and_training_only(built: dict[str, Path]) -> None:
    names = zipfile.ZipFile(built[".whl"]).namelist()
    assert {name.partition("/")[0] for name in names} == {"jconv", "training", f"jconv-{_version()}.dist-info"}
    for name in ("jconv/py.typed", "training/data/gunpoint.npz", "jconv/planner/data/amd-epyc-2.json"):
        assert name in names
    with tarfile.open(built[".gz"]) as archive:
        names = [name.partition("/")[2] for name in archive.getnames()]
    assert {"README.md", "LICENSE", "CHANGELOG.md", "tests/test_package.py", "docs/gun_point.keras"} <= set(names)


def test_the_version_is_the_same_everywhere() -> None:
    newest = re.findall(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert _version() in newest[:2]
    assert f"\nversion: {_version()}\n" in (ROOT / "CITATION.cff").read_text()


def _version() -> str:
    return re.findall(r'__version__ = "(.+)"', (ROOT / "jconv/version.py").read_text())[0]


def test_install_commands_in_messages_name_declared_requirements() -> None:
    """Messages name packages, because `jconv[train]` cannot be installed by that name from a clone."""
    extras = PROJECT["optional-dependencies"].values()
    declared = {Requirement(line).name: line for extra in extras for line in extra}
    found = []
    for package in ("jconv", "training"):
        for path in (ROOT / package).rglob("*.py"):
            for words in re.findall(r"pip install ([^{}\n]+?)(?:[\"']\n|\"\)|'\))", path.read_text()):
                found += re.findall(r"[^\s\"')]+", words)
    assert {"h5py", "flatbuffers", "tqdm>=4.66"} <= set(found), found
    for word in found:
        requirement = declared[Requirement(word).name]
        assert word == requirement or "<" not in requirement, f"{word}: the package has {requirement}"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder with the Keras file of the README, and a folder named `training` that is not ours."""
    (tmp_path / "docs").mkdir()
    shutil.copy(ROOT / "docs/gun_point.keras", tmp_path / "docs")
    (tmp_path / "training").mkdir()
    (tmp_path / "training/__init__.py").write_text("raise ImportError('the wrong training')\n")
    return tmp_path


def _commands_start(commands: Path, outside: Path) -> None:
    script = "import jconv.keras, sys; jconv.keras.load; assert 'optax' not in sys.modules; print(jconv.__file__)"
    assert Path(_run([str(commands / "python"), "-P", "-c", script], outside)).is_relative_to(commands.parent)
    assert _run([str(commands / "jconv"), "--version"], outside) == f"jconv {_version()}\n"
    assert "jconv compare, jconv fit, jconv predict, jconv sweep" in _run([str(commands / "jconv"), "--help"], outside)
    for command in (["jconv-fit", "--help"], ["jconv", "fit", "--help"]):
        assert "--epochs" in _run([str(commands / command[0]), *command[1:]], outside)
    (outside / "training/__init__.py").unlink()
    refused = _run_to_end([str(commands / "jconv-fit")], outside)
    assert refused.returncode == 2 and refused.stderr.startswith("fit: training needs tqdm, matplotlib and orbax")


def _readme_works(commands: Path, outside: Path) -> None:
    assert '".[train]"' in README
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    snippets = [text for language, text in blocks if language == "python"]
    assert len(snippets) >= 3
    for snippet in snippets:
        _run([str(commands / "python"), "-c", snippet], outside)

    shell = "".join(text for language, text in blocks if language != "python")
    lines = re.findall(r"^(?:jconv|python -c) .*", shell, re.MULTILINE)
    assert any(line.startswith("jconv export") for line in lines)
    for line in lines:
        _run_line(commands, line, outside)


def _run_line(commands: Path, line: str, folder: Path) -> str:
    name, *words = shlex.split(line)
    return _run([str(commands / name), *words], folder)


def _training_works(commands: Path, outside: Path) -> None:
    def run(line: str) -> str:
        return _run_line(commands, line, outside)

    short = "--epochs 2 --skip-proof --out"
    run(f"jconv-fit {short} first")
    run(f"jconv fit --model docs/gun_point.keras {short} from-keras")
    assert (outside / "from-keras/model.keras").stat().st_size > 10_000
    run("jconv predict first --export first.bin")
    run("jconv sweep --grid seed=1,2 --epochs 1 --skip-proof --out swept")
    assert "seed=2" in run("jconv compare swept")
    assert (outside / "first.bin").stat().st_size > 1000


def _ecg_stream_runs(commands: Path, outside: Path) -> None:
    assert "latency 62 samples" in _run(
        [str(commands / "python"), str(ROOT / "examples/ecg_stream.py"), "--out", "ecg.png"], outside
    )
    assert (outside / "ecg.png").stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize(
    "extra, check",
    [
        ("", _commands_start),
        ("train", _readme_works),
        ("train", _training_works),
        ("examples", _ecg_stream_runs),
    ],
)
def test_installation_with_an_extra_works(
    extra: str, check: Callable[[Path, Path], None], installed: Callable[[str], Path], outside: Path
) -> None:
    check(installed(extra), outside)
