"""PyTorch's spellings that no chapter teaches: each a line or two on top of what the chapters export.

`methods` (of Tensor) and their `operations` lie below `tensor.py`; the other modules lie above it."""
