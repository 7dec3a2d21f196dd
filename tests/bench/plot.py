"""The plot: for some rows, bars of every contender's rate, CPU time and latency.

Each row of bars has its own scale, from 0 to the largest. Plain SVG.
"""

from xml.sax.saxutils import escape

# Shown where measured; without any of them, whatever there is.
WANTED = ("put/1/1/100", "put/64/1/100", "put/64/16/100", "get/64/1/100",
          "get-follower/64/1/100", "local/64/1/100", "mix/64/1/100")
ROWS_MAX = 8

COLORS = {"ours": "#1565c0", "go": "#00897b", "etcd2": "#8e24aa", "etcd3": "#ce93d8",
          "redis": "#c62828", "nginx": "#616161"}

PANELS = (
    # title, figure, the same at a high quantile, format
    ("requests a second", "rate", None, "%.0f"),
    ("CPU of all servers, us a request", "cpu_us", None, "%.1f"),
    ("p50 and (thin) p99, ms", "p50_ms", "p99_ms", "%.2f"),
)

LEFT = 70
PANEL = 300
BAR = 190
LINE = 18
TITLE = 30
TOP = 60


def text(x, y, words, size=11, weight="normal", anchor="start"):
    return ('<text x="%d" y="%d" font-size="%d" font-weight="%s" text-anchor="%s">%s'
            '</text>' % (x, y, size, weight, anchor, escape(words)))


def rect(x, y, width, height, color):
    return '<rect x="%d" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>' % (
        x, y, max(width, 1), height, color)


def panel(results, what, contenders, x, y, figure, beyond, format):
    """The bars of one figure of one row."""
    parts = []
    largest = max(results(what, c, beyond or figure) for c in contenders) or 1
    for i, contender in enumerate(contenders):
        top = y + i * LINE
        v = results(what, contender, figure)
        color = COLORS[contender]
        words = format % v
        end = v
        if beyond:
            end = results(what, contender, beyond)
            parts.append(rect(x, top + 6, BAR * end / largest, 2, color))
            words += " / " + format % end
        parts.append(rect(x, top + 1, BAR * v / largest, LINE - 6, color))
        parts.append(text(x + BAR * max(v, end) / largest + 5, top + LINE - 6, words))
    return parts


def draw(results, title):
    """The SVG as a string."""
    measured = results.names()
    shown = ([m for m in measured if m[0] in WANTED] or measured)[:ROWS_MAX]
    parts = [text(10, 22, title, 14, "bold")]
    for i, (words, _, _, _) in enumerate(PANELS):
        parts.append(text(LEFT + i * PANEL, 46, words, 12, "bold"))
    y = TOP
    for what, contenders in shown:
        parts.append(text(10, y + 14, what, 12, "bold"))
        y += TITLE - 8
        for i, contender in enumerate(contenders):
            parts.append(text(LEFT - 8, y + i * LINE + LINE - 6, contender, 11,
                              anchor="end"))
        for i, (_, figure, beyond, format) in enumerate(PANELS):
            parts += panel(results, what, contenders, LEFT + i * PANEL, y, figure,
                           beyond, format)
        y += len(contenders) * LINE + 8
    width, height = LEFT + len(PANELS) * PANEL, y + 10
    return ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" '
            'viewBox="0 0 %d %d" font-family="sans-serif">\n'
            '<rect width="100%%" height="100%%" fill="white"/>\n%s\n</svg>\n'
            % (width, height, width, height, "\n".join(parts)))
