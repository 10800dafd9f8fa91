"""The entry point of the command: calls a subcommand, and prints each failure as one line."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from . import options, plugins
from .errors import MISTAKE, first_line

INTERRUPTED, PIPE_CLOSED = 130, 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with `arguments`, by default `sys.argv[1:]`, and return its exit code.

    See `jconv --help`. A mistake in the arguments raises `SystemExit(2)`.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if (plugin := plugins.find(arguments)) is not None:
        return plugin(arguments[1:])
    parsed = options.parse(arguments)
    # Only the modules of this subcommand are imported.
    command, functional = (importlib.import_module(f".{name}", __package__) for name in (parsed.command, ".functional"))
    try:
        with functional.default_algorithm(parsed.algorithm):
            code = command.run(parsed)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Without this, Python reports the closed pipe again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except OSError as error:
        where = f"{error.filename}: " if error.filename is not None else ""
        message = f"{where}{error.strerror or error}"
    except ModuleNotFoundError as error:
        message = f"{error.name} is needed for this and is not installed: pip install {error.name}"
    except (ImportError, ValueError, TypeError, MemoryError) as error:
        message = first_line(error)
    except KeyboardInterrupt:
        print("jconv: interrupted", file=sys.stderr)
        return INTERRUPTED
    print(f"jconv: {message}", file=sys.stderr)
    return MISTAKE
