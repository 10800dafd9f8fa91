"""`python -m jconv`, where the command is not on the path."""

from .command import main

if __name__ == "__main__":
    raise SystemExit(main())
