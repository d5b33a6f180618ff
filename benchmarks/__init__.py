"""How fast this library is, next to PyTorch: `python -m benchmarks`."""
