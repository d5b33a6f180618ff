"""`tito report`: one page about one run, made of the files in its folder, that opens anywhere without a network.

What it reads: config.json, status.json and metrics.jsonl; samples.txt; all PNGs; and results.json, with what was
measured in the end: {"criteria": [{"name": ..., "got": ..., "wanted": ..., "passed": true, "percent": false}, ...],
"numbers": {name: value}, "table": {model: {name: value}}}. Any of them may be missing. Only `plot_loss` and
`plot_attention` need matplotlib.
"""

import base64
import json
import math
from html import escape
from pathlib import Path
from string import Template

from tito.curves import draw_curves, on_log_axis, pyplot
from tito.files import write_whole
from tito.project import TitoError
from tito.runs import Run, curve, duration, is_number, own_file, own_text, read_json, read_run

COUNTERS = ("step", "epoch", "seconds", "level")  # in a record, but nothing to draw
WIDE, NARROW = (890, 300), (430, 210)  # pictures of curves, in about the pixels of a screen
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 10, 34  # their margins
FAST = {True: "fast operations in place of the student's", False: "the student's own operations"}
CAPTIONS = {
    "attention.png": "Attention: how much each position (a row) takes from each other (a column)",
}


def write_report(folder: Path | str) -> Path:
    """Write folder/report.html and return its path. Raises OSError where it cannot be written."""
    path = Path(folder) / "report.html"
    write_whole(path, report_page(read_run(path.parent)).encode())
    return path


def report_page(run: Run) -> str:
    """The page, as text. Whatever stands in the files is escaped."""
    results = read_json(run.folder / "results.json")
    sections = [
        ("What it had to show", criteria_table(results.get("criteria"))),
        ("Side by side", side_by_side(results.get("table"))),
        ("Measured", cards(results.get("numbers"))),
        ("Curves", grid_of(charts(run))),
        ("Samples", samples(run.folder / "samples.txt")),
        ("Pictures", "".join(pictures(run))),
        ("Settings", settings_table(run.config)),
    ]
    body = "\n".join(f"<section><h2>{title}</h2>{content}</section>" for title, content in sections if content)
    return PAGE.substitute(name=escape(run.name), badge=badge(run), about=about(run), body=body)


def badge(run: Run) -> str:
    kind = {"learned": "good", "finished": "good", "not learned": "bad"}.get(run.state, "open")
    return f'<span class="badge {kind}">{escape(run.state)}</span>'


def about(run: Run) -> str:
    """The line below the title: when, how long, with what."""
    start = read_json(run.folder / "config.json")
    command = start.get("command")
    facts = [
        str(start["started"]).replace("T", " ") if "started" in start else "",
        f"{run.last['step']:,} steps" if is_number(run.last.get("step")) else "",
        duration(run.seconds) if run.seconds is not None else "",
        f"Python {start['python']}" if "python" in start else "",
        f"NumPy {start['numpy']}" if "numpy" in start else "",
        FAST.get(start.get("fast"), ""),
    ]
    line = " &middot; ".join(escape(fact) for fact in facts if fact)
    if isinstance(command, list):
        line += f"<br><code>python {escape(' '.join(map(str, command)))}</code>"
    return line


# ---- tables


def criteria_table(criteria) -> str:
    rows = [row for row in criteria if isinstance(row, dict)] if isinstance(criteria, list) else []
    if not rows:
        return ""
    body = "".join(
        f'<tr class="{"good" if row.get("passed") is True else "bad"}"><td class="mark"></td>'
        f"<td>{escape(str(row.get('name', '')))}</td><td class=number>{got(row)}</td>"
        f"<td class=number>{shown(row.get('wanted'))}</td></tr>"
        for row in rows
    )
    return f"<table><tr><th></th><th></th><th class=number>got</th><th class=number>wanted</th></tr>{body}</table>"


def got(criterion: dict) -> str:
    value = criterion.get("got")
    return f"{100 * value:.4g} %" if criterion.get("percent") is True and is_number(value) else shown(value)


def side_by_side(table) -> str:
    """A column for each model of {model: {name: value}}."""
    table = table if isinstance(table, dict) else {}
    columns = {name: column for name, column in table.items() if isinstance(column, dict)}
    if not columns:
        return ""
    head = "".join(f"<th class=number>{escape(str(name))}</th>" for name in columns)
    rows = "".join(
        f"<tr><td>{escape(str(name))}</td>"
        + "".join(f"<td class=number>{shown(column.get(name, ''))}</td>" for column in columns.values())
        + "</tr>"
        for name in dict.fromkeys(name for column in columns.values() for name in column)
    )
    return f"<table><tr><th></th>{head}</tr>{rows}</table>"


def cards(numbers) -> str:
    if not isinstance(numbers, dict):
        return ""
    items = "".join(
        f"<div class=card><b>{shown(value)}</b><span>{escape(str(name))}</span></div>"
        for name, value in numbers.items()
    )
    return f"<div class=cards>{items}</div>" if items else ""


def settings_table(config: dict) -> str:
    rows = "".join(f"<tr><td>{escape(str(name))}</td><td>{setting(value)}</td></tr>" for name, value in config.items())
    return f"<table class=settings>{rows}</table>" if rows else ""


def setting(value) -> str:
    if isinstance(value, (dict, list)):
        line = json.dumps(value, ensure_ascii=False)
        text = line if len(line) < 100 else json.dumps(value, indent=1, ensure_ascii=False)
        return f"<pre>{escape(text)}</pre>"
    return shown(value)


def shown(value) -> str:
    """A number with four digits, or any other value as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return escape(f"{value:.4g}" if isinstance(value, float) else str(value))


# ---- text and pictures


def samples(path: Path) -> str:
    text = own_text(path)
    return f"<pre class=samples>{escape(text)}</pre>" if text.strip() else ""


def pictures(run: Run):
    """The PNGs that lie in the folder; loss.png only where there are no records to draw the same curve from."""
    for path in sorted(run.folder.glob("*.png")):
        if path.name == "loss.png" and run.records:
            continue
        try:
            data = base64.b64encode(own_file(path)).decode()
        except OSError:
            continue
        caption = escape(CAPTIONS.get(path.name, path.stem.replace("_", " ").replace("-", " ")))
        image = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
        yield f"<figure><figcaption>{caption}</figcaption>{image}</figure>"


# ---- curves


def charts(run: Run):
    """A wide picture for the losses, then a narrow one for each other number in the records."""
    names = [name for name in dict.fromkeys(name for record in run.records for name in record) if name not in COUNTERS]
    losses = [name for name in names if "loss" in name]
    for group in ([losses] if losses else []) + [[name] for name in names if name not in losses]:
        parts = [(name, part) for name in group for part in passes(run, name)]
        if any(len(xs) > 1 for _, (xs, _) in parts):
            yield chart(group, parts, WIDE if group == losses else NARROW)


def passes(run: Run, metric: str):
    """(steps, values) of a metric, a new pair wherever the steps start again; long curves are averaged."""
    start = 0
    for at in range(1, len(run.records) + 1):
        if at == len(run.records) or run.records[at]["step"] <= run.records[at - 1]["step"]:
            xs, ys = curve(Run(run.folder, {}, {}, run.records[start:at], 0.0), metric)
            start = at
            if xs:
                yield xs, ys


def grid_of(figures) -> str:
    figures = "".join(figures)
    return f"<div class=charts>{figures}</div>" if figures else ""


def chart(names: list[str], parts: list, size: tuple[int, int]) -> str:
    """An SVG with the curves `parts`, a list of (name, (steps, values)), and a legend."""
    (width, height), kind = size, "wide" if size == WIDE else "narrow"
    every = [y for _, (_, ys) in parts for y in ys]
    log = "loss" in names[0] and on_log_axis(every)
    low, high = (math.log10(min(every)), math.log10(max(every))) if log else (min(every), max(every))
    margin = 0.05 * (high - low) or abs(high) * 0.1 or 1.0
    low, high, last = low - margin, high + margin, max(x for _, (xs, _) in parts for x in xs)

    def across(step):
        return LEFT + (width - LEFT - RIGHT) * step / max(last, 1)

    def down(value):
        return TOP + (height - TOP - BOTTOM) * (high - (math.log10(value) if log else value)) / (high - low)

    lines = []
    for tick in log_ticks(low, high) if log else ticks(low, high):
        y = down(tick)
        lines.append(f'<line class=grid x1="{LEFT}" x2="{width - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
                     f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor=end>{tick:.4g}</text>')  # fmt: skip
    for tick in ticks(0, last):
        lines.append(f'<text x="{across(tick):.1f}" y="{height - BOTTOM + 18}" text-anchor=middle>{tick:,.10g}</text>')
    for name, (xs, ys) in parts:
        color = f"c{names.index(name) % 5}"
        points = " ".join(f"{across(x):.1f},{down(y):.1f}" for x, y in zip(xs, ys))
        thin = " thin" if len(xs) > 100 and len(names) > 1 else ""
        lines.append(f'<polyline class="{color}{thin}" points="{points}"/>')
        if len(xs) <= 100:
            lines += [f'<circle class={color} cx="{across(x):.1f}" cy="{down(y):.1f}" r="3"><title>step {x:,.10g}: '
                      f"{escape(name)} {y:.4g}</title></circle>" for x, y in zip(xs, ys)]  # fmt: skip
    legend = "".join(f'<span class="key c{i % 5}">{escape(name)}</span>' for i, name in enumerate(names))
    lines.append(f'<text x="{width - RIGHT}" y="{height - 3}" text-anchor=end>step</text>')
    named = escape(f"{', '.join(names)}: curves over {last:,.10g} steps")
    svg = f'<svg viewBox="0 0 {width} {height}" role=img aria-label="{named}">{"".join(lines)}</svg>'
    return f"<figure class={kind}><figcaption>{legend}</figcaption>{svg}</figure>"


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers between `low` and `high`."""
    rough = (high - low) / count or 1.0
    size = 10 ** math.floor(math.log10(rough))
    size *= next(step for step in (1, 2, 5, 10) if step * size >= rough)
    return [round(n * size, 12) for n in range(math.ceil(low / size), math.floor(high / size) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten between 10**low and 10**high; powers alone where that would be many."""
    factors = (1, 2, 5) if high - low < 3 else (1,)
    every = [n * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for n in factors]
    return [tick for tick in every if low <= math.log10(tick) <= high]


# ---- PNGs, for those who make a run


def plot_loss(folder: Path | str) -> Path:
    """Draw folder/loss.png: each loss in the records of a run.

    Raises TitoError where they hold none.
    """
    run, path = read_run(Path(folder)), Path(folder) / "loss.png"
    names = [name for name in dict.fromkeys(name for record in run.records for name in record) if "loss" in name]
    if not names:
        raise TitoError(f"{run.folder}: no record with a loss in metrics.jsonl, so there is nothing to draw")
    curves = [(name, *part) for name in names for part in passes(run, name)]
    draw_curves(path, {"loss": curves}, run.name)
    return path


def plot_attention(weights, tokens, path: Path | str) -> Path:
    """Draw attention weights (layers, heads, T, T) of a text of T tokens as a grid of pictures, a row for each layer.

    tokens: T texts, written along the axes where there is room for them.
    """
    plt = pyplot()
    layers, heads = len(weights), len(weights[0])
    size = 3.0 if len(tokens) > 24 else 2.4
    figure, axes = plt.subplots(layers, heads, figsize=(size * heads + 0.4, size * layers + 0.3), squeeze=False,
                                layout="constrained", sharex=True, sharey=True)  # fmt: skip
    labels = [repr(token)[1:-1] if token.strip() != token or not token else token for token in tokens]
    for layer in range(layers):
        for head in range(heads):
            axis = axes[layer][head]
            axis.imshow(weights[layer][head], vmin=0, vmax=1, cmap="magma", interpolation="nearest")
            axis.set_title(f"layer {layer + 1}, head {head + 1}", fontsize=8)
            axis.set_xticks(range(len(labels)), labels, fontsize=5, rotation=90 if max(map(len, labels)) > 2 else 0)
            axis.set_yticks(range(len(labels)), labels, fontsize=5)
            axis.tick_params(length=0)
    figure.savefig(path, dpi=130, bbox_inches="tight")  # else the titles of a single row are cut
    plt.close(figure)
    return Path(path)


PAGE = Template("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$name</title>
<style>
:root {
  color-scheme: light dark;
  --paper: #fbfaf8; --sheet: #fff; --ink: #1f2328; --soft: #656d76; --line: #e4e2dd; --code: #f4f2ee;
  --good: #1a7f4b; --bad: #c0362c; --open: #8a6d00;
  --c0: #2f6fb5; --c1: #d9702b; --c2: #2d8f5b; --c3: #8e5bb5; --c4: #b5475f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14161a; --sheet: #1c1f24; --ink: #e3e5e8; --soft: #98a0aa; --line: #30353c; --code: #14161a;
    --good: #4cc38a; --bad: #ff7b6b; --open: #e2b93b;
    --c0: #6cb0f5; --c1: #f59b5c; --c2: #5cc992; --c3: #c39af0; --c4: #f08aa0;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 980px; margin: 0 auto; padding: 40px 20px 60px; }
header { margin-bottom: 28px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 6px; letter-spacing: -.01em; }
h2 { font-size: 13px; font-weight: 600; text-transform: uppercase; letter-spacing: .07em; color: var(--soft);
  margin: 0 0 14px; }
header p { margin: 0; color: var(--soft); }
code, pre { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
section { background: var(--sheet); border: 1px solid var(--line); border-radius: 12px; padding: 20px 24px;
  margin-bottom: 18px; }
.badge { font-size: 13px; font-weight: 600; padding: 4px 12px; border-radius: 99px; vertical-align: 5px;
  margin-left: 8px; border: 1px solid currentColor; letter-spacing: 0; }
.good { color: var(--good); } .bad { color: var(--bad); } .open { color: var(--open); }
table { border-collapse: collapse; width: 100%; }
th { font-weight: 500; color: var(--soft); }
th, td { padding: 7px 12px 7px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
tr:last-child td { border-bottom: 0; }
tr.good td, tr.bad td { color: var(--ink); }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.mark { width: 26px; }
tr.good td.mark::before { content: "\\2713"; color: var(--good); font-weight: 700; }
tr.bad td.mark::before { content: "\\2717"; color: var(--bad); font-weight: 700; }
.settings td:first-child { color: var(--soft); width: 210px; }
.settings pre { margin: 0; max-height: 220px; overflow: auto; }
.cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(165px, 1fr)); gap: 18px 24px; }
.card b { display: block; font-size: 22px; font-weight: 600; font-variant-numeric: tabular-nums; }
.card span { color: var(--soft); font-size: 13px; line-height: 1.35; display: block; }
.charts { display: grid; grid-template-columns: 1fr 1fr; gap: 18px 28px; }
.wide { grid-column: 1 / -1; }
@media (max-width: 700px) { .charts { grid-template-columns: 1fr; } }
figure { margin: 0; min-width: 0; }
figure + figure { margin-top: 20px; } .charts figure { margin-top: 0; }
figcaption { color: var(--soft); font-size: 13px; margin-bottom: 6px; }
.key { margin-right: 18px; }
.key::before { content: ""; display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 7px;
  vertical-align: middle; background: var(--c); }
.c0 { --c: var(--c0); } .c1 { --c: var(--c1); } .c2 { --c: var(--c2); } .c3 { --c: var(--c3); } .c4 { --c: var(--c4); }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--soft); font: 11px system-ui, "DejaVu Sans", sans-serif; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); }
polyline { fill: none; stroke: var(--c); stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
polyline.thin { stroke-width: 1; opacity: .75; }
circle { fill: var(--c); stroke: var(--sheet); }
.samples { margin: 0; padding: 16px 18px; background: var(--code); border-radius: 8px; overflow: auto;
  max-height: 620px; white-space: pre-wrap; overflow-wrap: anywhere; }
img { max-width: 100%; display: block; margin: 0 auto; background: #fff; border-radius: 8px; }
@media print { section { break-inside: avoid; } .samples { max-height: none; } }
</style>
</head>
<body>
<main>
<header><h1>$name $badge</h1><p>$about</p></header>
$body
</main>
</body>
</html>
""")
