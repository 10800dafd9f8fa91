"""The pages of docs/ and the README: examples run with the printed results, links are valid, the site builds."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest

import jconv.command.options
import jconv.equinox
import jconv.flax
import jconv.keras
import jconv.torch
import training.api
import training.compare
import training.estimators
import training.predict
import training.sweep
from tests.support.paths import ROOT
from training.options.options import parse

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
# Packages that the code of a page needs and the extra `test` does not have, for the reason in `.ci/run`.
NEEDED = {"docs/guides/onnx.md": ("jax2onnx", "onnxruntime")}
# Pages that take half a minute: one trains, the other compiles for eight devices. They do not run by default.
LONG = ("docs/guides/estimators.md", "docs/background/public_issues.md")
PYTHON = [name for name in NAMES if "```python" in (ROOT / name).read_text()]
MODULES = ("layers", "ragged", "reference", "sharding", "slots", "streaming")


def blocks(page: Path) -> list[tuple[str, str]]:
    """The fenced blocks of a page: language and text."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


@pytest.mark.default_cases(6)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.complete] if name in LONG else []) for name in PYTHON]
)
def test_examples_print_the_output_below_them(name: str, tmp_path: Path, monkeypatch: Any) -> None:
    """The blocks of a page share one namespace. Blocks that are fenced as `py` are not run."""
    for package in NEEDED.get(name, ()):
        pytest.importorskip(package)
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    monkeypatch.chdir(tmp_path)
    scope: dict[str, Any] = {"__name__": name}
    found = blocks(ROOT / name)
    for (language, code), (after, printed) in zip(found, [*found[1:], ("", "")], strict=True):
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(code, name, "exec"), scope)
            assert after != "text" or out.getvalue() == printed


def test_ci_runs_the_pages_that_are_skipped_in_the_test_environment() -> None:
    script = (ROOT / ".ci/run").read_text()
    for name, packages in NEEDED.items():
        assert f"test_examples_print_the_output_below_them[{name}]" in script
        assert re.search(rf"python -c 'import .*{', '.join(packages)}", script)


def command_lines() -> list[str]:
    """The commands of jconv and training in the `sh` blocks of all pages."""
    text = "\n".join(text for page in PAGES for language, text in blocks(page) if language == "sh")
    return sorted(set(re.findall(r"^(?:.* && )?((?:python -m training\.|jconv ).*)$", text, re.MULTILINE)))


@pytest.mark.parametrize("line", command_lines())
def test_commands_have_the_options_that_the_pages_show(line: str) -> None:
    first, *words = shlex.split(line.removeprefix("python -m "))
    if first == "training.fit":
        parse(words)
    elif first == "training.sweep":
        _, rest = training.sweep._parser().parse_known_args(words)
        parse(rest)
    elif first == "jconv":
        jconv.command.options.parse(words)
    else:
        module = {"training.predict": training.predict, "training.compare": training.compare}[first]
        module._parser().parse_args(words)


def anchors(page: Path) -> set[str]:
    """The names of a page's headings in links."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    found = re.findall(r"^#+ (.+?)(?: \{ #(\S+) \})?$", text, re.MULTILINE)
    return {own or re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title, own in found}


@pytest.mark.parametrize("name", [*NAMES, "CONTRIBUTING.md"])
def test_links_lead_to_files_and_headings(name: str) -> None:
    page = ROOT / name
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.DOTALL | re.MULTILINE)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            linked = (page.parent / path).resolve() if path else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), target


@pytest.mark.slow
def test_the_site_builds_and_its_api_reference_has_every_public_name(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    inventory = (tmp_path / "objects.inv").read_bytes().split(b"\n", 4)[4]
    documented = {line.split()[0] for line in zlib.decompress(inventory).decode().splitlines()}
    modules = [
        jconv,
        jconv.equinox,
        jconv.flax.linen,
        jconv.flax.nnx,
        jconv.keras,
        jconv.planner,
        jconv.torch,
        training.api,
        training.estimators,
        *(getattr(jconv, name) for name in MODULES),
    ]
    public = {
        f"{module.__name__}.{name}": getattr(module, name)
        for module in modules
        for name in module.__all__
        if name not in MODULES
    }
    # A function with the name of its module is documented under the path of that module.
    missing = [
        name
        for name, value in public.items()
        if name not in documented and f"{value.__module__}.{value.__name__}" not in documented
    ]
    assert len(public) > 100 and missing == []
    # Each result is one entry, also if its description has several lines.
    pages = "".join(page.read_text(encoding="utf-8") for page in tmp_path.rglob("index.html"))
    results = re.findall(r">Returns:<.*?</table>", pages, re.DOTALL)
    assert len(results) > 50 and all(table.count("doc-section-item") == 1 for table in results)


def test_every_page_is_in_the_navigation() -> None:
    listed = re.findall(r": (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(ROOT / "docs").as_posix() for page in PAGES[1:])


def test_the_readme_is_short() -> None:
    text = re.sub(r"^```.*?^```$", "", (ROOT / "README.md").read_text(), flags=re.DOTALL | re.MULTILINE)
    assert len(text.split()) <= 900
