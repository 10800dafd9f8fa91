"""Draws the diagrams beside this file: `python docs/pictures/draw.py`."""

from __future__ import annotations

from pathlib import Path

CELL = 26
BLUE, ORANGE, GREY, WHITE = "#9db8e8", "#f4b26a", "#d9d9d9", "#ffffff"


class Drawing:
    """Squares in rows, lines and words, as one SVG on a white background."""

    def __init__(self, width: int, height: int) -> None:
        self.size, self.parts = (width, height), [f'<rect width="{width}" height="{height}" fill="white"/>']

    def cell(self, x: float, y: float, text: object = "", fill: str = WHITE, dashed: bool = False) -> None:
        dash = ' stroke-dasharray="3 2"' if dashed else ""
        self.parts.append(f'<rect x="{x}" y="{y}" width="{CELL}" height="{CELL}" fill="{fill}" stroke="#555"{dash}/>')
        self.words(x + CELL / 2, y + 17, text, "middle", 12)

    def words(self, x: float, y: float, text: object, anchor: str = "start", size: int = 13) -> None:
        self.parts.append(f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" fill="#222">{text}</text>')

    def line(self, x0: float, y0: float, x1: float, y1: float, color: str = "#888", arrow: bool = False) -> None:
        end = ' marker-end="url(#arrow)"' if arrow else ""
        self.parts.append(f'<line x1="{x0}" y1="{y0}" x2="{x1}" y2="{y1}" stroke="{color}" stroke-width="1.5"{end}/>')

    def write(self, name: str) -> None:
        width, height = self.size
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif">'
        arrow = (
            '<defs><marker id="arrow" markerWidth="8" markerHeight="8" refX="6" refY="3" orient="auto">'
            '<path d="M0,0 L7,3 L0,6 z" fill="#c05a00"/></marker></defs>'
        )
        path = Path(__file__).with_name(name)
        path.write_text("\n".join([head, arrow, *self.parts, "</svg>"]) + "\n")


def padding() -> None:
    """Six samples and three taps: what valid, same and causal padding add, and the first and last window."""
    drawing = Drawing(560, 330)
    drawing.words(10, 22, "6 samples, 3 taps; padding dashed, first window blue, last orange", size=14)
    for row, (name, low, high) in enumerate((("valid", 0, 0), ("same", 1, 1), ("causal", 2, 0))):
        y = 45 + row * 95
        drawing.words(10, y + 18, f'"{name}"', size=15)
        length = low + 6 + high
        for i in range(length):
            sample = i - low
            fill = BLUE if i < 3 else ORANGE if i >= length - 3 else WHITE
            padded = not 0 <= sample < 6
            drawing.cell(110 + (2 + sample) * CELL, y, 0 if padded else f"x{sample}", fill, padded)
        outputs = length - 2
        for t in range(outputs):
            fill = BLUE if t == 0 else ORANGE if t == outputs - 1 else WHITE
            drawing.cell(110 + (2 + t) * CELL, y + 45, f"y{t}", fill)
        drawing.words(110 + 11 * CELL, y + 18, f"({low}, {high})")
        drawing.words(110 + 11 * CELL, y + 63, f"{outputs} outputs")
    drawing.write("padding.svg")


def dilation() -> None:
    """A stack of causal convolutions with two taps whose dilation doubles: eight samples reach one output."""
    drawing = Drawing(560, 300)
    drawing.words(10, 22, "Three causal layers of two taps, dilations 1, 2, 4: receptive field 8", size=14)
    left, top, step = 150, 45, 46
    read = {3: {7}}
    for layer, spacing in ((3, 4), (2, 2), (1, 1)):
        read[layer - 1] = read[layer] | {t - spacing for t in read[layer]}
    for layer in range(4):
        y = top + (3 - layer) * 70
        name = "input" if layer == 0 else f"dilation {2 ** (layer - 1)}"
        drawing.words(10, y + 18, name)
        for t in range(8):
            drawing.cell(left + t * step, y, t, BLUE if t in read[layer] else GREY)
            if layer and t in read[layer]:
                for tap in (0, 2 ** (layer - 1)):
                    x1 = left + (t - tap) * step + CELL / 2
                    drawing.line(left + t * step + CELL / 2, y + CELL, x1, y + 70, "#3a5fa8")
    drawing.write("dilation.svg")


def halo() -> None:
    """Two devices with shards of six samples and same padding of five taps: two samples each way."""
    drawing = Drawing(640, 190)
    drawing.words(10, 22, "12 samples on two devices, 5 taps, same padding: a halo of two samples", size=14)
    for device in range(2):
        x, y = 20 + device * 320, 60
        drawing.words(x, y - 10, f"device {device}")
        for i in range(6):
            own = device * 6 + i
            sent = own in (4, 5, 6, 7)
            drawing.cell(x + (i + 2 * device) * CELL, y, own, ORANGE if sent else BLUE)
        for i, sample in enumerate((6, 7) if device == 0 else (4, 5)):
            drawing.cell(x + (i + (6 if device == 0 else 0)) * CELL, y + 70, sample, ORANGE, True)
    drawing.line(20 + 5 * CELL, 60 + CELL, 335 + CELL, 60 + 68, "#c05a00", arrow=True)
    drawing.line(340 + 3 * CELL, 60 + CELL, 25 + 7 * CELL, 60 + 68, "#c05a00", arrow=True)
    drawing.words(20, 60 + 120, "received from the neighbour: dashed")
    drawing.write("halo.svg")


if __name__ == "__main__":
    padding()
    dilation()
    halo()
