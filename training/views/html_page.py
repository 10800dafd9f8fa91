"""Parts of a self-contained HTML page, without scripts and fonts, and with embedded pictures.

Every function takes plain text and returns HTML, so that the name of a file or of a class cannot become markup. The
page's content security policy forbids it to load anything.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"

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
table { border-collapse: collapse; font-size: 0.92rem; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: 0.25rem 1.2rem 0.25rem 0;
  border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { color: var(--faint); vertical-align: bottom; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td, th { overflow-wrap: anywhere; }
thead th, .number, .nowrap { overflow-wrap: normal; }
.nowrap { white-space: nowrap; }
.stacked { font-size: 0.85rem; }
.stacked th, .stacked td { padding-right: 0.9rem; }
.word { display: inline-block; max-width: 100%; }
pre { margin: 0.4rem 0; padding: 0.6rem 0.8rem; border: 1px solid var(--line); border-radius: 4px;
  white-space: pre-wrap;
  overflow-wrap: anywhere; font: 0.9rem/1.5 ui-monospace, monospace; }
figure { margin: 1rem 0; }
img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: 4px; }
figcaption { font-size: 0.92rem; margin-top: 0.3rem; }
@media (max-width: 40rem) {
  table { font-size: 0.8rem; }
  th, td { padding-right: 0.5rem; }
  thead .number { white-space: normal; }
  .facts, .facts tbody, .facts tr, .facts th, .facts td { display: block; }
  .facts th { border: 0; padding-bottom: 0; color: var(--faint); }
  .facts td { padding-top: 0; }
  .stacked, .stacked tbody, .stacked tr, .stacked td { display: block; }
  .stacked thead { display: none; }
  .stacked tr { padding: 0.4rem 0; border-bottom: 1px solid var(--line); }
  .stacked td { padding: 0 0 0 5rem; border: 0; text-align: left; white-space: normal; text-indent: -5rem; }
  .stacked td::before { content: attr(data-head); display: inline-block; width: 5rem; text-indent: 0;
    color: var(--faint); }
}
"""


def page(title: str, subtitle: str, sections: Iterable[tuple[str, str]]) -> str:
    """The complete page: title, subtitle, and sections of a heading and HTML; those without HTML are left out."""
    parts = [f"<section>\n<h2>{escape(head)}</h2>\n{body}</section>\n" for head, body in sections if body]
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{escape(title)}</title>\n<link rel="icon" href="data:,">\n<style>\n{STYLE}</style>\n</head>\n'
        f'<body>\n<h1>{escape(title)}</h1>\n<p class="faint">{escape(subtitle)}</p>\n{"".join(parts)}</body>\n</html>\n'
    )


def line(text: str) -> str:
    """A paragraph.

    >>> line("a < b")
    '<p>a &lt; b</p>\\n'
    """
    return f"<p>{escape(text)}</p>\n"


def code(text: str) -> str:
    """A command, wrapped between its words if it is longer than a line.

    >>> code("fit <dir>")
    '<pre><span class="word">fit</span> <span class="word">&lt;dir&gt;</span></pre>\\n'
    """
    words = " ".join(f'<span class="word">{escape(word)}</span>' if word else "" for word in text.split(" "))
    return f"<pre>{words}</pre>\n"


def facts(pairs: Mapping[str, str]) -> str:
    """A table of two columns, names and values; empty for none."""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(words)}</td></tr>\n' for name, words in pairs.items()
    )
    return f'<table class="facts">\n{rows}</table>\n' if pairs else ""


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[str]],
    numbers: Sequence[str] = (),
    nowrap: Sequence[str] = (),
    is_stacked: bool = False,
) -> str:
    """A table. `numbers` names the columns aligned to the right, `nowrap` the columns whose cells stay on one line.

    With `is_stacked`, a narrow screen shows the cells of a row one below the other, each after its heading.
    """
    kinds = {**dict.fromkeys(nowrap, "nowrap"), **dict.fromkeys(numbers, "number")}
    attributes = [f' class="{kinds[head]}"' if head in kinds else "" for head in heads]
    head = "".join(
        f'<th scope="col"{attribute}>{escape(name)}</th>' for name, attribute in zip(heads, attributes, strict=True)
    )
    names = [f' data-head="{escape(head)}"' if is_stacked else "" for head in heads]
    lines = (
        "".join(
            f"<td{attribute}{name}>{escape(cell)}</td>"
            for attribute, name, cell in zip(attributes, names, row, strict=True)
        )
        for row in rows
    )
    body = "".join(f"<tr>{line}</tr>\n" for line in lines)
    kind = ' class="stacked"' if is_stacked else ""
    return f"<table{kind}>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}</tbody></table>\n"


def picture(content: bytes, caption: str) -> str:
    """An embedded PNG file with a caption, which is also its alternative text."""
    data = base64.b64encode(content).decode()
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(caption)}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>\n"
