"""Pictures that answer to the pointer and the keyboard: one HTML page each, which asks no network for anything."""
from tinytorch.pictures.graphs import GraphPicture, graph
from tinytorch.pictures.page import Picture
from tinytorch.pictures.widgets import attention, line, temperature
