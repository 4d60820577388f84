"""Ratios as a plot in SVG: a group of bars per workload, the best peer at 1."""
import html
import report

COLOURS = {
    "everyhop": "#d1495b", "nginx": "#2e7d4f", "haproxy": "#3b6fb5", "h2o": "#8a6fb0", "nghttpx": "#c58b2a",
    "caddy": "#5b9aa0", "stunnel": "#7a7a7a",
}
WIDTH, LEFT, RIGHT, BAR, GAP, TOP, MOST = 920, 300, 60, 11, 14, 56, 2.5


def text(x, y, content, size=12, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}">'
            f"{html.escape(content)}</text>")


def place(ratio):
    return LEFT + (WIDTH - LEFT - RIGHT) * min(ratio, MOST) / MOST


def legend(names):
    parts, x = [], LEFT
    for name in names:
        parts.append(f'<rect x="{x}" y="24" width="11" height="11" fill="{COLOURS[name]}"/>')
        parts.append(text(x + 15, 34, name))
        x += 30 + 7 * len(name)
    return parts


def group(result, y):
    """A workload's bars from `y` on, and where they end."""
    names = [name for name in report.ORDER if name in result.ratios]
    middle = y + BAR * len(names) / 2 + 4
    parts = [text(LEFT - 10, middle, result.workload.label, anchor="end")]
    for name in names:
        ratio = result.ratios[name]
        label = f"{ratio:.2f}" + (" …" if ratio > MOST else "")
        parts.append(
            f'<rect x="{LEFT}" y="{y:.1f}" width="{place(ratio) - LEFT:.1f}" height="{BAR - 2}" fill="{COLOURS[name]}"/>'
        )
        parts.append(text(place(ratio) + 4, y + BAR - 2.5, label, 9, weight="bold" if name == "everyhop" else "normal"))
        y += BAR
    return parts, y + GAP


def grid(bottom):
    parts = []
    for step in range(1, int(MOST * 2) + 1):
        ratio = step / 2
        line = 'stroke="#222" stroke-width="1.5"' if ratio == 1 else 'stroke="#ddd"'
        parts.append(f'<line x1="{place(ratio):.1f}" y1="{TOP - 6}" x2="{place(ratio):.1f}" y2="{bottom}" {line}/>')
        parts.append(text(place(ratio), bottom + 14, f"{ratio:g}", 11, "middle"))
    return parts


def svg(results):
    results = [result for result in results if result.ratios]
    bars, y = [], TOP
    for result in results:
        parts, y = group(result, y)
        bars += parts
    names = [name for name in report.ORDER if any(name in result.ratios for result in results)]
    caption = "Cost beside the best peer (1.0): less is better. CPU per operation, or what the row names."
    parts = [text(LEFT, 14, caption, weight="bold"), *legend(names), *grid(y), *bars]
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 26:.0f}" width="{WIDTH}" '
            f'height="{y + 26:.0f}" font-family="sans-serif" fill="#222">\n'
            f'<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")
