"""Pictures of a graph as SVG, by another hand."""

__all__ = ["Drawing", "draw"]

from collections import defaultdict
from html import escape

from tinytorch.autograd import FREED, topological_order


class Drawing:
    def __init__(self, labels, edges, leaves):
        self.labels, self.edges, self.leaves = labels, edges, leaves

    def rows(self):
        level = {node: 1 for node in self.labels if node not in self.leaves}
        for start, end in self.edges:
            if start not in self.leaves:
                level[end] = max(level[end], level[start] + 1)
        for start, end in self.edges:
            if start in self.leaves:
                level[start] = min(level.get(start, level[end]), level[end] - 1)
        rows = defaultdict(list)
        for node, height in level.items():
            rows[height].append(node)
        return [rows[height] for height in sorted(rows)]

    @property
    def svg(self):
        place = {node: (90 + 180 * x, 40 + 80 * y) for y, row in enumerate(self.rows()) for x, node in enumerate(row)}
        width = 90 + max((x for x, _ in place.values()), default=0)
        height = 40 + max((y for _, y in place.values()), default=0)
        lines = [f'<line x1="{place[a][0]}" y1="{place[a][1] + 12}" x2="{place[b][0]}" y2="{place[b][1] - 16}" '
                 'stroke="gray"/>' for a, b in self.edges]
        texts = [f'<text x="{x}" y="{y}" text-anchor="middle">{escape(self.labels[node])}</text>'
                 for node, (x, y) in place.items()]
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
                f"{''.join(lines + texts)}</svg>")

    def _repr_svg_(self):
        return self.svg


def draw(tensor, **names):
    root = tensor.grad_fn
    order = [] if root is None else topological_order(root)
    if not order or any(operation.parents is FREED for operation in order):
        raise ValueError("there is no graph to draw: nothing was recorded, or it was freed")
    named = {id(leaf): name for name, leaf in names.items()}
    numbers, labels, edges, leaves = {}, {}, [], set()
    for operation in order:
        number = numbers[id(operation)] = len(numbers)
        labels[number] = f"{operation.name} {operation.out_shape}"
        for parent in operation.parents:
            if parent is None:
                continue
            if id(parent) not in numbers:
                leaf = numbers[id(parent)] = len(numbers)
                labels[leaf] = f"{named.get(id(parent), 'leaf')} {parent.out_shape}"
                leaves.add(leaf)
            edges.append((numbers[id(parent)], number))
    return Drawing(labels, edges, leaves)
