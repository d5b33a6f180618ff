"""Data augmentation for images: random shifts, flips and affine distortions of arrays (N, C, H, W)."""
import numpy as np


def shifted(images, most, generator):
    "Move each image (N, C, H, W) by up to `most` pixels up or down, left or right; zeros come in (He et al. 2016)."
    padded = np.pad(images, [(0, 0), (0, 0), (most, most), (most, most)])
    views = np.lib.stride_tricks.sliding_window_view(padded, images.shape[2:], axis=(2, 3))  # (N, C, y, x, H, W)
    y, x = generator.integers(0, 2 * most + 1, (2, len(images)))
    return views[np.arange(len(images)), :, y, x]


def flipped(images, generator):
    "Flip about half of the images (N, C, H, W) left to right."
    return np.where(generator.random(len(images))[:, None, None, None] < 0.5, images, images[..., ::-1])


def warped(images, generator, shift=1.0, turn=12.0, stretch=0.1, shear=0.1):
    """Distort each image (N, C, H, W) by a random affine map: shift, rotation, scale and shear; zeros come in.

    Drawn uniformly for each image: up to `shift` pixels and `turn` degrees to either side, factors of up to
    e^`stretch`, and a slant of up to `shear`. Between pixels it interpolates. Distortions of this kind are
    in LeCun et al. 1998, section III.
    """
    n, height, width = len(images), *images.shape[2:]
    angle, slant = np.deg2rad(generator.uniform(-turn, turn, n)), generator.uniform(-shear, shear, n)
    factor_y, factor_x = np.exp(generator.uniform(-stretch, stretch, (2, n)))
    move_y, move_x = generator.uniform(-shift, shift, (2, n))
    middle = np.array([[height - 1], [width - 1]]) / 2
    y, x = np.mgrid[:height, :width].reshape(2, -1) - middle
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    from_y = factor_y[:, None] * (sin * x + cos * y) + move_y[:, None] + middle[0]  # (N, H W): where it was
    from_x = factor_x[:, None] * (cos * x - sin * y) + slant[:, None] * y + move_x[:, None] + middle[1]
    return between_pixels(images, from_y, from_x).reshape(images.shape)


def between_pixels(images, y, x):
    "Return what images (N, C, H, W) show at the places y, x (N, places), interpolated, zeros outside: (N, C, places)."
    height, width = images.shape[2:]
    padded = np.pad(images, [(0, 0), (0, 0), (1, 2), (1, 2)])
    y, x = np.clip(y + 1, 0, height + 1), np.clip(x + 1, 0, width + 1)
    top, left = y.astype(int), x.astype(int)
    down, right = (y - top).astype(images.dtype), (x - left).astype(images.dtype)
    each = np.arange(len(images))[:, None]

    def corner(dy, dx):
        return padded[each, :, top + dy, left + dx].swapaxes(1, 2)  # (N, C, places)

    down, right = down[:, None], right[:, None]
    above = corner(0, 0) * (1 - right) + corner(0, 1) * right
    below = corner(1, 0) * (1 - right) + corner(1, 1) * right
    return above * (1 - down) + below * down
