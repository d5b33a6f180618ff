"""The layer that can be taken off: faster forms of operations. Without this folder everything works, more slowly."""
from tinytorch.fast.registry import implements, registry, start, status, use
