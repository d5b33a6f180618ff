"""The one way in which curves of runs are prepared and drawn into a PNG."""

from pathlib import Path

POINTS = 1000  # of a curve in a picture; longer ones are averaged down to it
FEW = 100  # up to so many points are shown as such
STYLES = ("-", "--", ":", "-.")


def pyplot():
    """matplotlib.pyplot, drawing into files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def averaged(points: list[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Steps and values of a curve, averaged over neighbours where there are too many to draw."""
    size = -(-len(points) // POINTS) or 1
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [group[-1][0] for group in groups], [sum(value for _, value in group) / len(group) for group in groups]


def on_log_axis(values: list[float]) -> bool:
    """Return whether they are drawn on a logarithmic axis."""
    return min(values) > 0 and max(values) > 20 * min(values)


def draw_curves(path: Path, panels: dict[str, list], title: str = "", x: str = "step", log_x: bool = False) -> None:
    """Draw {y axis: [(name, steps, values), ...]} into a PNG, a panel each; curves of one name share their style.

    Raises OSError where it cannot be written.
    """
    plt = pyplot()
    size = (5.5 * len(panels), 3.6)
    figure, axes = plt.subplots(1, len(panels), figsize=size, squeeze=False, layout="constrained")
    for axis, (name, curves) in zip(axes[0], panels.items()):
        labels = list(dict.fromkeys(label for label, _, _ in curves))
        for place, (label, steps, values) in enumerate(curves):
            number, few = labels.index(label), len(steps) <= FEW
            first = label not in [other for other, _, _ in curves[:place]]
            axis.plot(steps, values, label=label if first else None, color=f"C{number % 10}",
                      linestyle=STYLES[number // 10 % 4], linewidth=1.6 if few else 0.9,
                      marker="." if few else None)  # fmt: skip
        log = "loss" in name and on_log_axis([value for _, _, values in curves for value in values])
        axis.set(xlabel=x, ylabel=name, title=title, xscale="log" if log_x else "linear",
                 yscale="log" if log else "linear")  # fmt: skip
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    try:
        figure.savefig(path, dpi=120)
    finally:
        plt.close(figure)
