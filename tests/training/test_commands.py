"""`python -m training`, and modules of the package that are not commands."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.paths import ROOT
from training import __main__, compare, fit, predict, sweep
from training.commands import names


def _run(*arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment, check=False)
    return done.returncode, done.stdout, done.stderr


def test_the_commands_are_listed():
    code, out, err = _run("-m", "training")
    assert (code, err) == (0, "")
    for name in names.COMMANDS:
        assert f"python -m training.{name} " in out
        assert Path(ROOT, "training", f"{name}.py").is_file()
    assert max(map(len, out.splitlines())) <= 100


def test_a_space_instead_of_a_dot_is_an_error(capsys):
    assert __main__.main(["predict", "runs/a"]) == 2
    wanted = "training: 'predict' must be part of the module's name, as in python -m training.predict\n"
    assert capsys.readouterr().err == wanted


@pytest.mark.parametrize("module", ["loop", "data.datasets"])
def test_a_module_that_is_not_a_command_is_an_error(module):
    """Otherwise it would end with exit code 0 and no message."""
    code, out, err = _run("-W", "ignore", "-m", f"training.{module}", "--epochs", "3")
    assert code == 2 and out == "" and err.count("\n") == 1
    assert err.startswith(f"training.{module} is not a command; the commands are training.fit, ")


def test_a_module_that_imports_the_package_is_no_error():
    assert _run("-c", "import training.core.stopping") == (0, "", "")
    assert names.error_message(["python", "-m", "pytest", "training.loop"]) is None


@pytest.mark.parametrize(
    ("main", "arguments"),
    [(fit.main, ["--data"]), (predict.main, ["run", "--data"]), (compare.main, []), (sweep.main, ["--out"])],
)
def test_a_file_name_that_is_not_utf_8_is_an_error(main, arguments, capsys):
    """Python decodes such bytes of an argument to surrogates, which cannot be printed or written to the report."""
    with pytest.raises(SystemExit) as caught:
        main([*arguments, "caf\udce9.csv"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith(
        r": 'caf\udce9.csv' is not text in UTF-8; rename the file" + "; --help explains the options\n"
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
@pytest.mark.parametrize(("call", "code"), [("say('a')", 0), ("output('a')", 1)])
def test_standard_output_that_cannot_be_written_does_not_end_a_run(call, code):
    """A log file on a full disk, a closed terminal or pipe. Results that cannot be written are an error in one line."""
    script = f"from training.errors import *\ntry:\n {call}\nexcept UserError as error:\n raise SystemExit(error)"
    with Path("/dev/full").open("w") as full:
        environment = os.environ | {"PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-c", script], stdout=full, stderr=subprocess.PIPE, text=True, env=environment, check=False
        )
    message = "standard output: cannot be written to: No space left on device\n"
    assert (done.returncode, done.stderr) == (code, message if code else "")


def test_messages_are_printed_in_any_encoding():
    """Characters that the encoding lacks become escapes in messages, and an error in results."""
    script = "from training.errors import *\nsay('caf\xe9')\nsay('tea')\noutput('caf\xe9')"
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout == "caf\\xe9\ntea\n"
    assert done.stderr.endswith(
        "standard output: cannot be written to: 'ascii' codec can't encode character "
        "'\\xe9' in position 3: ordinal not in range(128)\n"
    )


def test_commands_print_with_functions_that_survive_a_failure():
    """`print` to standard output would raise at the first message of a run."""
    for name in ("fit", "predict", "compare", "sweep", "commands/folds", "estimators/hydra_run"):
        text = Path(ROOT, "training", f"{name}.py").read_text()
        assert [line for line in text.splitlines() if " print(" in line and "file=sys.stderr" not in line] == []
