"""Convolution, pooling and batch norm with images last in memory: long runs to copy and add, one product a layer."""
import math

import numpy as np
from numpy.lib.stride_tricks import as_strided

from tinytorch.fast.registry import implements
from tinytorch.fast.rows import mean_product, row_blocks, row_mean
from tinytorch.nn.convolution import (
    AvgPoolFunction,
    BatchNormFunction,
    ConvFunction,
    MaxPoolFunction,
    offsets,
    output_size,
)


def images_last(x):
    "(N, C, *sizes) -> (C, *sizes, N), a view"
    return np.moveaxis(x, 0, -1)


def images_first(planes):
    "(C, *sizes, N) -> (N, C, *sizes), a view"
    return np.moveaxis(planes, -1, 0)


def packed(planes):
    """planes (C, *sizes, N) in this order in memory: themselves, or a copy.

    Images often lie a power of two apart, where all compete for the same few lines of the processor's cache. A gap of
    16 numbers between them first makes turning 32 images of 32 x 32 x 32 more than twice as fast, both copies counted.
    """
    if planes.flags.c_contiguous:
        return planes
    shape, size = planes.shape, math.prod(planes.shape[:-1])
    spaced = np.empty((shape[-1], size + 16), planes.dtype)[:, :size]
    spaced[...] = images_first(planes).reshape(spaced.shape)
    return np.ascontiguousarray(spaced.T).reshape(shape)


def planes_of(x, padding, value=0):
    "(N, C, *sizes) -> (C, *sizes, N), a view, or with a border of `value`, `padding` = pairs, a copy."
    if not any(map(any, padding)):
        return images_last(x)
    sizes = [size + sum(pair) for size, pair in zip(x.shape[2:], padding)]
    padded = np.full((x.shape[1], *sizes, len(x)), value, x.dtype)
    padded[inside(sizes, padding)] = images_last(x)
    return padded


def inside(sizes, padding):
    "The key of what is no border in planes of those (padded) `sizes`."
    return (slice(None), *[slice(before, size - after) for size, (before, after) in zip(sizes, padding)])


def windows(planes, kernel, stride, dilation, counts):
    """Every window, without a copy: planes (C, *sizes, N) -> view (C, *kernel, *counts, N).

    Element [c, i, j, y, x, n] is planes[c, y * stride + i * dilation, x * stride + j * dilation, n].
    """
    of_channel, *steps, of_image = planes.strides
    within = [step * d for step, d in zip(steps, dilation)]
    between = [step * s for step, s in zip(steps, stride)]
    shape = (planes.shape[0], *kernel, *counts, planes.shape[-1])
    return as_strided(planes, shape, (of_channel, *within, *between, of_image), writeable=False)


def plane_offsets(kernel, stride, dilation, counts):
    "As `offsets`, for planes (C, *sizes, N)."
    return ((place, (slice(None), *seen[1:])) for place, seen in offsets(kernel, stride, dilation, counts))


@implements(ConvFunction, "numpy")
class ColumnsConv(ConvFunction):
    """Windows become columns, and all of them one matrix product (im2col, Chellapilla et al. 2006).

    Columns need as much memory as the kernel has places: they are made a block of their rows at a time, and again in
    the backward pass. Images come last, inside and in the memory of the result: nothing is transposed between layers.
    """
    block = 1 << 20  # numbers in the columns of a block

    def forward(self, x, weight, bias=None):
        self.planes = packed(planes_of(x, self.padding))
        self.weight, self.has_bias = weight, bias is not None
        self.counts = tuple(map(output_size, x.shape[2:], weight.shape[2:], self.stride, self.padding, self.dilation))
        out = np.empty((len(weight), *self.counts, len(x)), x.dtype)
        matrix, grouped = self.matrix(), self.grouped(out)
        for block in self.blocks():
            np.matmul(matrix, self.columns(block), out=flat(grouped[:, :, block]))
        if bias is not None:
            out += bias.reshape(-1, *[1] * (x.ndim - 1))
        return images_first(out)

    def backward(self, grad):
        grad = packed(images_last(grad))
        dplanes = np.zeros(self.planes.shape, grad.dtype) if self.needs_grad[0] else None
        dmatrix, grouped = np.zeros_like(self.matrix()), self.grouped(grad)
        for block in self.blocks():
            rows = flat(grouped[:, :, block])  # (G, O / G, windows)
            if self.needs_grad[1]:
                dmatrix += self.weight_gradient(rows, self.columns(block))
            if self.needs_grad[0]:
                self.add_input_gradient(self.below(dplanes, block), rows, self.counts_of(block))
        dx = images_first(dplanes[inside(dplanes.shape[1:-1], self.padding)]) if self.needs_grad[0] else None
        dbias = grad.reshape(len(grad), -1).sum(1) if self.has_bias and self.needs_grad[2] else None
        return dx, dmatrix.reshape(self.weight.shape), dbias

    def weight_gradient(self, rows, columns):
        "dL/d(matrix), (G, O / G, K), from dL/d(out), (G, O / G, windows), and columns, (G, K, windows)"
        return rows @ columns.swapaxes(1, 2)

    def add_input_gradient(self, dplanes, rows, counts):
        "Add to dplanes (C, *sizes, N) what windows, `counts` in each dim, send back to where they were read."
        kernel = self.weight.shape[2:]
        dcolumns = self.matrix().swapaxes(1, 2) @ rows  # (G, K, windows)
        dcolumns = dcolumns.reshape(len(dplanes), *kernel, *counts, dplanes.shape[-1])
        for place, seen in plane_offsets(kernel, self.stride, self.dilation, counts):
            dplanes[seen] += dcolumns[:, *place]

    def matrix(self):
        "The weight as a matrix for each group: (G, O / G, K), K = C / G times the places of the kernel."
        return self.weight.reshape(self.groups, len(self.weight) // self.groups, math.prod(self.weight.shape[1:]))

    def columns(self, block):
        "Return what each window of some rows sees, as a column: (G, K, windows)."
        planes, kernel = self.below(self.planes, block), self.weight.shape[2:]
        seen = windows(planes, kernel, self.stride, self.dilation, self.counts_of(block))
        return seen.reshape(self.groups, math.prod(self.weight.shape[1:]), math.prod(seen.shape[1 + len(kernel):]))

    def grouped(self, planes):
        return planes.reshape(self.groups, len(planes) // self.groups, *planes.shape[1:])

    def blocks(self):
        "Slices of the first of `counts`, rows of windows, whose columns have about `block` numbers."
        per_row = self.planes[:, 0].size * math.prod(self.weight.shape[2:])
        step, count = max(1, self.block // max(1, per_row)), self.counts[0]
        return [slice(start, min(start + step, count)) for start in range(0, count, step)]

    def counts_of(self, block):
        return block.stop - block.start, *self.counts[1:]

    def below(self, planes, block):
        "planes, a view from the first pixel that the windows of a block see"
        return planes[:, block.start * self.stride[0]:]


def flat(grouped):
    "(G, O / G, *counts, N) -> (G, O / G, windows), a view"
    return grouped.reshape(*grouped.shape[:2], math.prod(grouped.shape[2:]))


class ImagesLastPool:
    "Both halves of a pooling. A subclass adds `pool`, `shared` and `part`."
    def forward(self, x):
        self.sizes, each = x.shape[2:], zip(x.shape[2:], self.kernel, self.stride, self.padding, self.dilation)
        self.counts = [output_size(*dim, self.ceil_mode) for dim in each]
        ends = [(count - 1) * step + d * (k - 1) + 1
                for count, step, d, k in zip(self.counts, self.stride, self.dilation, self.kernel)]
        self.border_widths = [(before, max(after, end - before - size))  # with ceil_mode a window may stick out
                              for (before, after), end, size in zip(self.padding, ends, self.sizes)]
        self.planes = planes = planes_of(x, self.border_widths, self.border)
        return images_first(self.pool([planes[seen] for _, seen in self.places()]))

    def backward(self, grad):
        dplanes = np.zeros_like(self.planes, grad.dtype)  # in the same order in memory
        grad = self.shared(images_last(grad))
        apart = all(s > d * (k - 1) for s, d, k in zip(self.stride, self.dilation, self.kernel))
        for i, (_, seen) in enumerate(self.places()):
            if apart:  # no pixel is in two windows: nothing to add to
                dplanes[seen] = self.part(grad, i)
            else:
                dplanes[seen] += self.part(grad, i)
        return (images_first(dplanes[inside(dplanes.shape[1:-1], self.border_widths)]),)

    def places(self):
        return plane_offsets(self.kernel, self.stride, self.dilation, self.counts)


@implements(MaxPoolFunction, "numpy")
class ImagesLastMaxPool(ImagesLastPool, MaxPoolFunction):
    def pool(self, views):
        out, self.winner = views[0].copy("K"), np.zeros_like(views[0], np.int32)  # in the same order in memory
        for i, view in enumerate(views[1:], 1):
            larger = np.maximum(out, view)
            self.winner = np.maximum(self.winner, (larger != out) * np.int32(i))  # faster than assigning by a mask
            out = larger
        if np.isnan(out).any():  # larger than all
            for i, view in enumerate(views):
                self.winner[np.isnan(view)] = i
        return out

    def shared(self, grad):
        return grad

    def part(self, grad, i):
        return grad * (self.winner == i)


@implements(AvgPoolFunction, "numpy")
class ImagesLastAvgPool(ImagesLastPool, AvgPoolFunction):
    def pool(self, views):
        return sum(views[1:], views[0]) / self.members(views[0].dtype)[..., None]

    def shared(self, grad):
        return grad / self.members(grad.dtype)[..., None]

    def part(self, grad, i):
        return grad


def channels_first(x):
    "Return the dims of x (N, C, ...) with channels first, the others in the order in which they lie in memory."
    return 1, *sorted([0, *range(2, x.ndim)], key=lambda dim: -abs(x.strides[dim]))


@implements(BatchNormFunction, "numpy")
class RowsBatchNorm(BatchNormFunction):
    "A channel is a row, in whichever order its numbers lie in memory; rows are done in blocks that stay in the cache."
    def forward(self, x, weight=None, bias=None):
        self.order = channels_first(x)
        planes = x.transpose(self.order)
        rows = planes.reshape(len(planes), -1)  # (C, N * places)
        self.given, self.weight = (weight is not None, bias is not None), weight
        self.xhat, out = np.empty(rows.shape, x.dtype), np.empty(rows.shape, x.dtype)
        self.mean, self.variance, self.scale = np.empty((3, len(rows), 1), x.dtype)
        for block in row_blocks(rows, 1 << 16):
            self.standardize(rows[block], self.xhat[block], block)
            np.multiply(self.xhat[block], 1.0 if weight is None else weight[block, None], out=out[block])
            if bias is not None:
                out[block] += bias[block, None]
        return out.reshape(planes.shape).transpose(np.argsort(self.order))

    def standardize(self, rows, xhat, block):
        "Write the normalized `rows` to `xhat`; mean, variance and scale of each row go to `block` of those of self."
        np.subtract(rows, rows[:, :1], out=xhat)  # small numbers, wherever the row lies: their mean is exact
        mean = row_mean(xhat)
        xhat -= mean
        self.mean[block] = rows[:, :1] + mean
        self.variance[block] = mean_product(xhat, xhat)
        self.scale[block] = 1 / np.sqrt(self.variance[block] + self.eps)
        xhat *= self.scale[block]

    def backward(self, grad):
        planes = grad.transpose(self.order)
        rows, dx = planes.reshape(self.xhat.shape), np.empty(self.xhat.shape, grad.dtype)
        of_bias, of_weight = np.empty((2, len(rows), 1), grad.dtype)  # means over a row
        for block in row_blocks(rows, 1 << 16):
            of_bias[block] = row_mean(rows[block])
            of_weight[block] = mean_product(rows[block], self.xhat[block])
            np.multiply(self.xhat[block], of_weight[block], out=dx[block])
            np.subtract(rows[block], dx[block], out=dx[block])
            dx[block] -= of_bias[block]
            dx[block] *= self.scale[block] if self.weight is None else self.scale[block] * self.weight[block, None]
        count = rows.shape[1]
        dx = dx.reshape(planes.shape).transpose(np.argsort(self.order))
        dweight, dbias = of_weight[:, 0] * count, of_bias[:, 0] * count
        return dx, dweight if self.given[0] else None, dbias if self.given[1] else None
