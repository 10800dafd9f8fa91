"""Runs the `jconv` command as `python -m jconv`."""

from .command import main

if __name__ == "__main__":
    raise SystemExit(main())
