"""What docs/sharding.md shows runs and prints what it says."""

from __future__ import annotations

import contextlib
import io
import re

from tests.support.paths import ROOT

PAGE = (ROOT / "docs" / "sharding.md").read_text()


def test_the_example_prints_what_stands_below_it() -> None:
    ((code, printed),) = re.findall(r"```python\n(.*?)```\n+```\n(.*?)```", PAGE, re.DOTALL)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(code, {})
    assert out.getvalue() == printed
