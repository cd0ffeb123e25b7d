"""Figures as inline SVG that takes its colours from the page: light and dark need one drawing, and no request."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import floor, log10

from markupsafe import Markup

WIDTH, HEIGHT = 320, 180
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 10, 34
Triple = Sequence[float]


@dataclass(frozen=True)
class Axis:
    """A linear map from values to pixels, with ticks at round values."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self, about: int = 4) -> list[float]:
        """Multiples of 1, 2 or 5 times a power of ten inside the axis."""
        span = self.high - self.low
        if span <= 0:
            return [self.low]
        power = 10.0 ** floor(log10(span / about))
        step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= about)
        first = -floor(-self.low / step + 1e-9)
        return [n * step for n in range(first, floor(self.high / step + 1e-9) + 1)]


def histogram(
    edges: Sequence[float], counts: Sequence[float], mark: float | None, caption: str, unit: str
) -> Markup:
    """Bars of counts between edges; those at or above `mark` are drawn as kept, and a line stands at it."""
    x = Axis(edges[0], edges[-1], LEFT, WIDTH - RIGHT)
    y = Axis(0, max([*counts, 1]), HEIGHT - BOTTOM, TOP)
    bars = []
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        kind = "kept" if mark is not None and (low + high) / 2 >= mark else "bar"
        width = max(x(high) - x(low) - 1, 0.5)
        bars.append(_tag("rect", kind, x=x(low), y=y(count), width=width, height=y(0) - y(count)))
    if mark is not None:
        bars.append(_tag("line", "mark", x1=x(mark), x2=x(mark), y1=TOP - 4, y2=y(0)))
        bars.append(_text(f"kept from {mark:.3g}", "marktext", _beside(x(mark)), TOP + 2))
    return _figure([*_grid(x, y, unit), *bars], caption)


Spans = tuple[tuple[float, float], tuple[float, float]]
Show = Callable[[float], str]
Line = tuple[str, Sequence[tuple[float, float]]]
"""A colour class and points (x, y)."""


def curves(series: Mapping[str, Line], caption: str, unit: str, from_zero: bool = False) -> Markup:
    """One line a series, faint as measured and strong as a running mean."""
    points = [point for _, line in series.values() for point in line]
    if not points:
        return Markup("")
    values = sorted(value for _, value in points)
    roof = values[min(len(values) - 1, int(len(values) * 0.99))]
    x = Axis(0, max(place for place, _ in points), LEFT, WIDTH - RIGHT)
    y = Axis(0 if from_zero else min(values), roof * (1.3 if from_zero else 1), HEIGHT - BOTTOM, TOP)
    drawn = []
    for number, (name, (kind, line)) in enumerate(series.items()):
        drawn.append(_line(line, x, y, f"faint {kind}"))
        drawn.append(_line(_smooth(line), x, y, f"strong {kind}"))
        drawn.append(_text(name, f"key {kind}", WIDTH - RIGHT, TOP + 8 + 13 * number, anchor="end"))
    return _figure([*_grid(x, y, unit, compact), *drawn], caption)


def dotted(
    series: Mapping[str, Line], caption: str, unit: str, spans: Spans, show: Show | None = None
) -> Markup:
    """A line with a dot at each measured point a series; x and y run over `spans`.

    The names stand at the left, above or below: where fewer points are.
    """
    (low, high), (bottom, top) = spans
    x, y = Axis(low, high, LEFT, WIDTH - RIGHT), Axis(bottom, top, HEIGHT - BOTTOM, TOP)
    near = [value for _, line in series.values() for place, value in line if place < (low + high) / 2]
    is_low = 2 * sum(value > (bottom + top) / 2 for value in near) > len(near)
    first = HEIGHT - BOTTOM + 5 - 13 * len(series) if is_low else TOP + 8
    drawn = []
    for number, (name, (kind, line)) in enumerate(series.items()):
        drawn.append(_line(line, x, y, f"strong {kind}"))
        drawn += [
            _tag("circle", f"dot {kind}", cx=x(place), cy=y(value), r=2.5) for place, value in line[:20]
        ]
        drawn.append(_text(name, f"key {kind}", LEFT + 6, first + 13 * number))
    return _figure([*_grid(x, y, unit, show or compact), *drawn], caption)


def intervals(rows: Sequence[tuple[str, str, Triple]], caption: str, percent: bool = False) -> Markup:
    """One dot with its 95% interval a row of (name, colour class, (value, low, high))."""
    step, left = 26, 118
    height = TOP + step * len(rows) + BOTTOM
    lows, highs = [t[1] for _, _, t in rows], [t[2] for _, _, t in rows]
    margin = 0.06 * ((max(highs) - min(lows)) or 1)
    x = Axis(max(0, min(lows) - margin), max(highs) + margin, left, WIDTH - RIGHT - 10)
    show = _percent if percent else _short
    drawn = [
        *(_tag("line", "grid", x1=x(t), x2=x(t), y1=TOP, y2=height - BOTTOM) for t in x.ticks()),
        *(_text(show(t), "tick", x(t), height - BOTTOM + 14, anchor="middle") for t in x.ticks()),
    ]
    for number, (name, kind, (value, low, high)) in enumerate(rows):
        y = TOP + step * (number + 0.5)
        drawn += [
            _text(name, "row", left - 10, y + 4, anchor="end"),
            _tag("line", f"reach {kind}", x1=x(low), x2=x(high), y1=y, y2=y),
            _tag("circle", f"dot {kind}", cx=x(value), cy=y, r=4.5),
        ]
    return _figure(drawn, caption, height)


def heat_map(
    names: tuple[Sequence[str], Sequence[str]], values: Sequence[Sequence[float]], caption: str
) -> Markup:
    """A cell for each row and column, the stronger the greater its value; `names` are those of rows and columns."""
    rows, columns = names
    side, left, top = 15, 124, 84
    most = max([1, *(value for row in values for value in row)])
    drawn = []
    for number, name in enumerate(columns):
        x = left + side * (number + 0.6)
        drawn.append(_turned(name, x, top - 6))
    for y, (name, row) in enumerate(zip(rows, values, strict=True)):
        drawn.append(_text(name, "tick", left - 6, top + side * (y + 0.7), anchor="end"))
        for x, value in enumerate(row):
            place = {"x": left + side * x, "y": top + side * y, "width": side - 1, "height": side - 1}
            drawn.append(_tag("rect", "cell", **place))
            if value:
                drawn.append(_tag("rect", "kept", **place, opacity=f"{0.25 + 0.75 * value / most:.2f}"))
    scale = f"{most:g} page{'s' * (most != 1)} at the strongest"
    height = top + side * len(rows) + 22
    drawn.append(_text(scale, "unit", left, height - 6))
    return _figure(drawn, caption, height, max(WIDTH, left + side * len(columns) + RIGHT))


def _turned(text: str, x: float, y: float) -> Markup:
    """A label that rises from its place."""
    place = Markup('<text class="tick" transform="translate({:.1f} {:.1f}) rotate(-60)">{}</text>')
    return place.format(x, y, text)


def compact(value: float) -> str:
    """A count in few characters: 12k, 1.5M."""
    for size, letter in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def _grid(x: Axis, y: Axis, unit: str, show: Callable[[float], str] | None = None) -> list[Markup]:
    show = show or _short
    return [
        *(_tag("line", "grid", x1=LEFT, x2=WIDTH - RIGHT, y1=y(tick), y2=y(tick)) for tick in y.ticks()),
        *(_text(compact(tick), "tick", LEFT - 6, y(tick) + 4, anchor="end") for tick in y.ticks()),
        *(_text(show(tick), "tick", x(tick), HEIGHT - BOTTOM + 14, anchor="middle") for tick in x.ticks(5)),
        _text(unit, "unit", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 4, anchor="middle"),
    ]


def _beside(pixel: float) -> float:
    """Where text that belongs to a vertical line starts so that it stays inside the figure."""
    return pixel + 5 if pixel < WIDTH - 80 else pixel - 72


def _smooth(line: Sequence[tuple[float, float]], share: float = 0.04) -> list[tuple[float, float]]:
    """The running mean over a share of the points around each."""
    half = max(1, int(len(line) * share / 2))
    found = []
    for index, (place, _) in enumerate(line):
        near = [value for _, value in line[max(0, index - half) : index + half + 1]]
        found.append((place, sum(near) / len(near)))
    return found


def _line(line: Sequence[tuple[float, float]], x: Axis, y: Axis, kind: str) -> Markup:
    inside = ((x(place), y(min(max(value, y.low), y.high))) for place, value in line)
    return _tag("polyline", kind, points=" ".join(f"{a:g},{b:g}" for a, b in inside))


def _percent(value: float) -> str:
    return f"{100 * value:.3g}%"


def _short(value: float) -> str:
    return f"{value:.4g}"


def _tag(name: str, kind: str, **attributes: float | str) -> Markup:
    pairs = Markup(" ").join(Markup('{}="{}"').format(key, value) for key, value in attributes.items())
    return Markup('<{} class="{}" {}/>').format(name, kind, pairs)


def _text(text: str, kind: str, x: float, y: float, anchor: str = "start") -> Markup:
    place = Markup('<text class="{}" x="{:.1f}" y="{:.1f}" text-anchor="{}">{}</text>')
    return place.format(kind, x, y, anchor, text)


def _figure(parts: Sequence[Markup], caption: str, height: float = HEIGHT, width: float = WIDTH) -> Markup:
    return Markup(
        '<figure><figcaption>{}</figcaption><svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg></figure>'
    ).format(caption, width, height, caption, Markup("").join(parts))
