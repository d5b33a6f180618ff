"""The course tool: builds tinytorch from the notebooks, and runs them. It never imports tinytorch."""

__version__ = "0.2.0"
