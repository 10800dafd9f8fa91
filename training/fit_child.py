"""`training.fit` in a process that ends when the process that started it ends; `training.sweep` starts it."""

from __future__ import annotations

from .run.child import end_with_parent

if __name__ == "__main__":
    # First, for importing takes seconds.
    end_with_parent()
    from .fit import main

    raise SystemExit(main())
