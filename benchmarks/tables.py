"""Results as Markdown tables and as pictures."""

from pathlib import Path

import numpy as np

from benchmarks.sections import BASELINE, GENERATION, VARIANTS


def head(section: str, variants: list[str]) -> str:
    unit = "MB" if section == "memory" else "ms"
    titles = [GENERATION[v] if section == "generation" else VARIANTS[v] for v in variants]
    if section == "generation":
        return "| | tokens/s | times PyTorch's |\n|---|---|---|"
    return "| |" + "".join(f" {title} {unit} | ratio |" for title in titles) + "\n|---|" + "---|---|" * len(titles)


def row(name: str, result: dict, variants: list[str]) -> str:
    """Median and quartiles of each variant, and the ratio of its median to the baseline's."""
    if "tokens" in result:
        return speeds(result)
    cells, ratio = [name + mark(result)], ratios(result)
    for variant in variants:
        if variant not in ratio:
            cells += [reason(result, variant), ""]
        elif "megabytes" in result:
            cells += [f"{result['megabytes'][variant]:.3g}", f"{ratio[variant]:.2f}"]
        else:
            low, median, high = np.quantile(result["milliseconds"][variant], [0.25, 0.5, 0.75])
            cells += [f"{median:.3g} ({low:.3g} - {high:.3g})", f"{ratio[variant]:.2f}"]
    return f"| {' | '.join(cells)} |"


def reason(result: dict, variant: str) -> str:
    return result.get("failed", {}).get(variant, "not measured")[:60].replace("|", "/")


def mark(result: dict) -> str:
    return " (disturbed)" if result.get("disturbed") else ""


def middles(result: dict) -> dict[str, float]:
    return {variant: float(np.median(values)) for variant, values in quantities(result).items()}


def quantities(result: dict) -> dict:
    return result["megabytes"] if "megabytes" in result else result["milliseconds"]


def ratios(result: dict) -> dict[str, float]:
    """Of the medians to PyTorch eager's; nan where that was not measured. Uncached generation has its own baseline."""
    middle = middles(result)
    return {
        variant: value / middle.get(f"{BASELINE} uncached" if "uncached" in variant else BASELINE, np.nan)
        for variant, value in middle.items()
    }


def speeds(result: dict) -> str:
    """Tokens a second of each variant."""
    lines, ratio = [], ratios(result)
    for variant, milliseconds in result["milliseconds"].items():
        low, median, high = np.quantile(1e3 * result["tokens"] / np.array(milliseconds), [0.25, 0.5, 0.75])
        title = GENERATION[variant] + mark(result)
        lines.append(f"| {title} | {median:.0f} ({low:.0f} - {high:.0f}) | {1 / ratio[variant]:.2f} |")
    return "\n".join(lines)


def exponents(results: dict[str, dict]) -> dict[str, dict[str, tuple[float, float]]]:
    """{size: {variant: (k over all points, k between the last two)}} where time grows like size^k."""
    found = {}
    for size, (values, times) in curves(results).items():
        found[size] = {}
        for variant, t in times.items():
            x, y = np.log(values), np.log(t)
            found[size][variant] = float(np.polyfit(x, y, 1)[0]), float((y[-1] - y[-2]) / (x[-1] - x[-2]))
    return found


def curves(results: dict[str, dict]) -> dict[str, tuple[list[int], dict[str, list[float]]]]:
    """{size: (its values, {variant: milliseconds})}"""
    found = {}
    for name, result in results.items():
        size, value = name.split()
        values, times = found.setdefault(size, ([], {}))
        values.append(int(value))
        for variant, middle in middles(result).items():
            times.setdefault(variant, []).append(middle)
    return found


def exponent_table(results: dict[str, dict]) -> str:
    lines = ["| | NumPy, all points | last step | PyTorch, all points | last step |", "|---|---|---|---|---|"]
    for size, of in exponents(results).items():
        lines.append(f"| {size} | " + " | ".join(f"{k:.2f}" for v in ("numpy", BASELINE) for k in of[v]) + " |")
    return "\n".join(lines)


def draw(results: dict[str, dict], file: Path) -> None:
    """One panel for each section: ratios as bars; for growth, times as lines, a panel for each size."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    sizes, powers = curves(results.get("growth", {})), exponents(results.get("growth", {}))
    barred = [section for section in results if section != "growth"]
    count = len(barred) + len(sizes)
    _, panels = plt.subplots(count, 1, figsize=(8, 3 * count), squeeze=False, layout="constrained")
    panels = iter(panels[:, 0])
    for section in barred:
        bars(next(panels), section, results[section])
    for size, (values, times) in sizes.items():
        panel = next(panels)
        for variant, milliseconds in times.items():
            label = f"{VARIANTS[variant]}: {size}^{powers[size][variant][0]:.2f}"
            panel.loglog(values, milliseconds, "o-", label=label)
        panel.set_xticks(values, values)
        ticks = [ms for ms in (1, 2, 5, 10, 20, 50, 100, 200, 500) if ms < 2 * max(map(max, times.values()))]
        panel.minorticks_off()
        panel.set_yticks(ticks, ticks)
        panel.set(title=f"growth with {size}", xlabel=size, ylabel="ms per step")
        panel.legend(frameon=False)
    plt.savefig(file, dpi=110)
    plt.close()


def bars(panel, section: str, results: dict[str, dict]) -> None:
    """A group of bars for each row, a bar for each variant."""
    names = list(results)
    found = [ratios(result) for result in results.values()]
    variants = list(dict.fromkeys(variant for ratio in found for variant in ratio))
    titles = GENERATION if section == "generation" else VARIANTS
    for i, variant in enumerate(variants):
        places = np.arange(len(names)) + (i - (len(variants) - 1) / 2) * 0.8 / len(variants)
        panel.bar(places, [ratio.get(variant, np.nan) for ratio in found], 0.8 / len(variants), label=titles[variant])
    panel.axhline(1, color="gray", linewidth=0.8)
    panel.set_xticks(range(len(names)), names, rotation=20 if len(names) > 6 else 0)
    panel.set(title=section, ylabel=f"{'memory' if section == 'memory' else 'time'}, PyTorch eager = 1")
    panel.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
