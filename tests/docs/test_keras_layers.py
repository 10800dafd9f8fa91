"""docs/reference/keras_layers.md names all layers that are read, and no others."""

import re

from jconv.keras.kinds import KINDS
from tests.support.paths import ROOT

PAGE = ROOT / "docs/reference/keras_layers.md"


def test_names_every_layer_once() -> None:
    table = PAGE.read_text().partition("## Layers")[2].partition("## What differs")[0]
    rows = re.findall(r"^\| (?:\w+) \| (.+) \|$", table, re.MULTILINE)
    names = [name.partition(" ")[0] for row in rows for name in row.split(", ")]
    assert sorted(names) == sorted({kind.name for kind in KINDS.values()})
