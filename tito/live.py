"""A curve below a cell that grows while a milestone runs: drawn from the losses in the lines that the run prints."""

import io
import math
import re
import time
from collections.abc import Callable

_loss = re.compile(r"\b(?:step|epoch)\s+(\d+).*?\bloss\s+([-+.\deE]+)")
WIDTH, HEIGHT, MARGIN = 480, 160, 24
COLORS = ("#1f77b4", "#ff7f0e", "#2ca02c", "#d62728")  # legible on light and dark
EVERY = 0.3  # seconds from one drawing to the next


class LiveCurve:
    """Hears the lines of a run, and shows an SVG picture of its losses. A step that goes back begins another curve."""

    def __init__(self, show: Callable[[str], None]):
        self.show, self.curves, self.drawn = show, [], 0.0

    def hear(self, line: str) -> None:
        match = _loss.search(line)
        try:
            point = match and (int(match[1]), float(match[2]))
        except ValueError:
            return
        if not point or not math.isfinite(point[1]):
            return
        if not self.curves or point[0] <= self.curves[-1][-1][0]:
            self.curves.append([])
        self.curves[-1].append(point)
        if time.monotonic() - self.drawn > EVERY:
            self.draw()

    def draw(self) -> None:
        """Show what was heard so far."""
        self.drawn = time.monotonic()
        if self.curves:
            self.show(picture(self.curves))


class Heard(io.TextIOBase):
    """A stream that hands all on to another one, and each whole line to `hear` as well."""

    def __init__(self, stream, hear: Callable[[str], None]):
        self.stream, self.said, self.rest = stream, hear, ""

    def write(self, text: str) -> int:
        self.stream.write(text)
        *lines, self.rest = (self.rest + text).split("\n")
        for line in lines:
            self.said(line)
        return len(text)

    def flush(self) -> None:
        self.stream.flush()


def picture(curves: list[list[tuple[int, float]]]) -> str:
    """An SVG of curves of (step, loss), on a logarithmic axis where all losses are positive."""
    points = [point for curve in curves for point in curve]
    log = min(loss for _, loss in points) > 0
    heights = [math.log(loss) if log else loss for _, loss in points]
    low, high, last = min(heights), max(heights), max(step for step, _ in points)

    def place(step, loss):
        up = ((math.log(loss) if log else loss) - low) / ((high - low) or 1)
        return f"{MARGIN + step / last * (WIDTH - 2 * MARGIN):.1f},{HEIGHT - MARGIN - up * (HEIGHT - 2 * MARGIN):.1f}"

    lines = "".join(
        f'<polyline fill="none" stroke="{COLORS[number % len(COLORS)]}" stroke-width="2"'
        f' points="{" ".join(place(*point) for point in curve)}"/>'
        for number, curve in enumerate(curves)
    )
    step, loss = curves[-1][-1]
    words = f"loss {loss:.4g} at {step}{', logarithmic' if log else ''}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" role="img"'
        f' aria-label="{words}"><rect x="{MARGIN}" y="{MARGIN}" width="{WIDTH - 2 * MARGIN}"'
        f' height="{HEIGHT - 2 * MARGIN}" fill="none" stroke="#888"/>{lines}'
        f'<text x="{MARGIN}" y="16" font-size="12" fill="#888">{words}</text></svg>'
    )
