"""Keep freed memory instead of giving it back: the one allocator setting of this library.

A training step makes and frees the same large arrays again and again. glibc returns each of them to
the system and fetches fresh, zeroed pages for the next: 24,500 page faults a step on a Shakespeare-size
GPT. Two settings of `mallopt(3)` keep blocks of every size on the heap; a whole step then runs 1.1 to 1.5
times faster. (No mapped blocks at all, rather than a higher threshold for them: glibc allows none above
32 MB, and logits of exactly that size still cost 570 faults, 4 % of a step.) Elsewhere than on Linux with
glibc this does nothing; TINYTORCH_KEEP_MEMORY=0 turns it off.
"""
import ctypes
import os
import sys

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from malloc.h


def keep_freed_memory():
    if os.environ.get("TINYTORCH_KEEP_MEMORY") == "0" or not sys.platform.startswith("linux"):
        return
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
    except (OSError, AttributeError):
        pass  # another C library: its own settings stay
