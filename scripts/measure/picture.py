"""Draws ratios as horizontal bars, as an SVG that suits light and dark pages."""

from dataclasses import dataclass
from xml.sax.saxutils import escape

WIDTH = 960
LABEL_WIDTH = 440
VALUE_WIDTH = 60
LINE_HEIGHT = 20
BAR_HEIGHT = 12
TOP = 92
BOTTOM = 34
STEP = 0.5

STYLE = """
    text { font: 12px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #24292f; }
    .title { font-size: 16px; font-weight: 600; }
    .head { font-weight: 600; }
    .faint { fill: #57606a; }
    .value { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
    .grid { stroke: #d0d7de; stroke-width: 1; }
    .one { stroke: #24292f; stroke-width: 1.5; }
    .goal { stroke: #24292f; stroke-width: 2.5; }
    .kept { fill: #2da44e; } .missed { fill: #d4751a; } .plain { fill: #6e8fb5; }
    .page { fill: #ffffff; }
    @media (prefers-color-scheme: dark) {
      text { fill: #e6edf3; } .faint { fill: #9198a1; } .value { stroke: #0d1117; }
      .grid { stroke: #3d444d; } .one, .goal { stroke: #e6edf3; } .kept { fill: #3fb950; } .missed { fill: #e08a3c; } .plain { fill: #7d9fc7; }
      .page { fill: #0d1117; }
    }
"""


@dataclass(frozen=True)
class Bar:
    """A ratio and what it was to be at most."""

    label: str
    value: float
    goal: float | None
    is_kept: bool | None


class Picture:
    """The lines of the drawing so far."""

    def __init__(self, widest: float) -> None:
        self.lines: list[str] = []
        self.y = TOP
        self.right = max(1.5, widest)

    def x(self, ratio: float) -> float:
        """Where a ratio is."""
        return LABEL_WIDTH + (WIDTH - LABEL_WIDTH - VALUE_WIDTH) * ratio / self.right

    def text(self, x: float, y: float, text: str, kind: str = "label", anchor: str = "start") -> None:
        """A label."""
        self.lines.append(f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>')

    def upright(self, x: float, top: float, bottom: float, kind: str) -> None:
        """A vertical line."""
        self.lines.append(f'<line x1="{x:.1f}" y1="{top:.1f}" x2="{x:.1f}" y2="{bottom:.1f}" class="{kind}"/>')

    def group(self, title: str, bars: list[Bar]) -> None:
        """A heading and its bars."""
        self.y += 8
        self.text(16, self.y + 14, title, "head")
        self.y += LINE_HEIGHT
        for bar in bars:
            self.bar(bar)

    def bar(self, bar: Bar) -> None:
        """One bar with its label, its value and its goal."""
        kind = "plain" if bar.is_kept is None else "kept" if bar.is_kept else "missed"
        top, left = self.y + (LINE_HEIGHT - BAR_HEIGHT) / 2, self.x(0)
        self.text(LABEL_WIDTH - 8, self.y + 14, bar.label, anchor="end")
        size = f'width="{self.x(bar.value) - left:.1f}" height="{BAR_HEIGHT}"'
        self.lines.append(f'<rect x="{left:.1f}" y="{top:.1f}" {size} class="{kind}"/>')
        if bar.goal is not None:
            self.upright(self.x(bar.goal), top - 3, top + BAR_HEIGHT + 3, "goal")
        self.text(self.x(max(bar.value, bar.goal or 0)) + 6, self.y + 14, f"{bar.value:.2f}", "value")
        self.y += LINE_HEIGHT

    def grid(self) -> list[str]:
        """The scale, behind the bars."""
        front, self.lines = self.lines, []
        for step in range(int(self.right / STEP) + 1):
            ratio = step * STEP
            self.upright(self.x(ratio), TOP, self.y + 6, "one" if ratio == 1 else "grid")
            self.text(self.x(ratio), self.y + 22, f"{ratio:g}", "faint", "middle")
        self.lines += front
        return self.lines


def draw(title: str, subtitle: str, groups: list[tuple[str, list[Bar]]]) -> str:
    """The whole file."""
    picture = Picture(max((max(bar.value, bar.goal or 0) for _, bars in groups for bar in bars), default=1))
    for name, bars in groups:
        if bars:
            picture.group(name, bars)
    lines = picture.grid()
    picture.text(16, 28, title, "title")
    picture.text(16, 48, subtitle, "faint")
    legend = (("kept", "goal reached"), ("missed", "goal missed"), ("plain", "no goal set"))
    for number, (kind, text) in enumerate(legend):
        x = 16 + 120 * number
        lines.append(f'<rect x="{x}" y="62" width="12" height="12" class="{kind}"/>')
        picture.text(x + 18, 73, text, "faint")
    picture.upright(16 + 120 * len(legend), 59, 77, "goal")
    picture.text(24 + 120 * len(legend), 73, "goal: at most", "faint")
    height = picture.y + BOTTOM
    body = "\n  ".join(lines)
    size = f'width="{WIDTH}" height="{height:.0f}"'
    return f"""<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">
  <style>{STYLE}  </style>
  <rect class="page" {size}/>
  {body}
</svg>
"""
