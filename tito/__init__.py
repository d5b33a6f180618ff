"""The course tool: builds tinytorch from the notebooks, and runs them. It never imports tinytorch."""

__version__ = "0.2.0"


def load_ipython_extension(shell) -> None:
    """Give a notebook the line `%tito check 03`: `%reload_ext tito` calls this."""
    from tito.magic import run_tito

    shell.register_magic_function(lambda line: run_tito(line, shell.user_ns["In"]), magic_name="tito")
