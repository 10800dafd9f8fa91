"""The command's entry: dispatch, and every failure as one line and an exit code."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from . import options, plugins

DONE, DEVIATES, MISTAKE, INTERRUPTED = 0, 1, options.MISTAKE, 130
PIPE_CLOSED = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments`, by default those of the process, and return its exit code.

    See `jconv --help`. A mistake in the command line itself is `SystemExit(2)`.
    """
    words = sys.argv[1:] if arguments is None else list(arguments)
    if (plugin := plugins.find(words)) is not None:
        return plugin(words[1:])
    given = options.parse(words)
    # Only the command that was asked for is imported.
    command, functional = (importlib.import_module(f".{name}", __package__) for name in (given.command, ".functional"))
    try:
        with functional.default_algorithm(given.algorithm):
            code = command.run(given)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # What reads our output has seen enough; Python would complain once more at its exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        message = f"{where}{error.strerror or error}"
    except ImportError as error:
        missing = f"{error.name} is needed for this and is not installed: pip install {error.name}"
        message = missing if isinstance(error, ModuleNotFoundError) else _line(error)
    except (ValueError, TypeError, MemoryError) as error:
        message = _line(error)
    except KeyboardInterrupt:
        print("jconv: interrupted", file=sys.stderr)
        return INTERRUPTED
    print(f"jconv: {message}", file=sys.stderr)
    return MISTAKE


def _line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0] or type(error).__name__
