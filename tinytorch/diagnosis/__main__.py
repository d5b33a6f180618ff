"""Examine a case from a shell.

    python -m tinytorch.diagnosis mymodule:case

`case` is a dictionary of the arguments of `diagnose`, or a function that returns one. PyTorch's models go as they are.
The exit status is 1 if anything severe was found, and 2 where there is no such case.
"""
import argparse
import importlib
import sys

from tinytorch.diagnosis.examine import diagnose


def load_case(named):
    "Return the arguments that \"module:name\" stands for. Raises: ValueError where there is no such thing."
    module, colon, name = named.partition(":")
    if not colon:
        raise ValueError(f"expected module:case, such as mymodule:case, got {named!r}")
    sys.path.insert(0, "")  # as `python -m` has it, where this is installed as a command
    found = getattr(importlib.import_module(module), name, None)
    found = found() if callable(found) else found
    if not isinstance(found, dict):
        raise ValueError(f"{named} is {type(found).__name__}; expected a dict of diagnose's arguments, such as "
                         "{'model': model, 'batch': (x, y), 'loss_fn': loss_fn, 'optimizer': optimizer}")
    return found


def main(arguments=None):
    parser = argparse.ArgumentParser(prog="python -m tinytorch.diagnosis", description=__doc__.splitlines()[0])
    parser.add_argument("case", help="module:name of a dict, or of a function that returns one")
    chosen = parser.parse_args(arguments)
    try:
        case = load_case(chosen.case)
    except (ValueError, ModuleNotFoundError) as error:
        parser.error(str(error))
    report = diagnose(**case)
    print(report)
    return 1 if report.severe() else 0


if __name__ == "__main__":
    sys.exit(main())
