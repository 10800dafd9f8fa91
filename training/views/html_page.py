"""Pieces of one HTML page that needs nothing from elsewhere: no script, no font, and pictures inside it.

Every function takes text as it is and returns HTML, so whatever a file or a data set is named shows as that name. The
page forbids itself to load anything, by its content security policy.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

# Where a PNG file has its width, and the pixels up to which a picture is still read when it is as wide as a phone.
WIDTH = slice(16, 20)
NARROW = 800

STYLE = """\
:root { color-scheme: light dark; --ink: #1b1d20; --paper: #ffffff; --faint: #5c6470; --line: #d8dce2; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e6ea; --paper: #16181c; --faint: #9aa3af; --line: #353a42; }
  img { filter: brightness(0.86); }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.2rem 1rem 3rem; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; -webkit-text-size-adjust: 100%; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 0.2rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 0.6rem; padding-top: 0.5rem; border-top: 1px solid var(--line); }
p { margin: 0.4rem 0; }
.faint, figcaption { color: var(--faint); }
.wide { overflow-x: auto; }
.wide:focus-visible { outline: 2px solid currentColor; }
table { border-collapse: collapse; font-size: 0.92rem; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 1.2rem 0.25rem 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { color: var(--faint); white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.facts td { overflow-wrap: anywhere; }
figure { margin: 1rem 0; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; }
figcaption { font-size: 0.92rem; margin-top: 0.3rem; }
@media (max-width: 40rem) {
  .wide img { max-width: none; width: 40rem; }
  .facts, .facts tbody, .facts tr, .facts th, .facts td { display: block; }
  .facts th { border: 0; padding-bottom: 0; font-size: 0.85rem; color: var(--faint); }
  .facts td { padding-top: 0; }
}
"""


def page(title: str, under: str, sections: Iterable[tuple[str, str]]) -> str:
    """The whole page: a title, a line under it, and sections of a heading and HTML; one without HTML is left out."""
    parts = [f"<section>\n<h2>{escape(head)}</h2>\n{body}</section>\n" for head, body in sections if body]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>\n{STYLE}</style>\n</head>\n'
        f'<body>\n<h1>{escape(title)}</h1>\n<p class="faint">{escape(under)}</p>\n{"".join(parts)}</body>\n</html>\n'
    )


def line(text: str) -> str:
    """A paragraph.

    >>> line("a < b")
    '<p>a &lt; b</p>\\n'
    """
    return f"<p>{escape(text)}</p>\n"


def facts(pairs: Mapping[str, str]) -> str:
    """A table of two columns, names and what is to be said of them; empty for none."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(words)}</td></tr>\n' for name, words in pairs.items()
    )
    return f'<table class="facts">\n{rows}</table>\n' if pairs else ""


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], numbers: Sequence[str] = ()) -> str:
    """A table that scrolls sideways where it has no room; `numbers` names the columns that are set to the right."""
    sides = [' class="number"' if head in numbers else "" for head in heads]
    head = "".join(f'<th scope="col"{side}>{escape(name)}</th>' for name, side in zip(heads, sides, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td{side}>{escape(cell)}</td>" for cell, side in zip(row, sides, strict=True)) + "</tr>\n"
        for row in rows
    )
    whole = f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>"
    return f'<div class="wide" tabindex="0">{whole}</div>\n'


def picture(content: bytes, says: str) -> str:
    """A PNG file inside the page, with what it says under it and for those who do not see it."""
    data = base64.b64encode(content).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(says)}">'
    if int.from_bytes(content[WIDTH]) > NARROW:
        image = f'<div class="wide" tabindex="0">{image}</div>'
    return f"<figure>{image}<figcaption>{escape(says)}</figcaption></figure>\n"
