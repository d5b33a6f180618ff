"""How fast a training step is, here and in PyTorch: `python -m benchmarks`."""
