"""Inside the sandbox: runs the cells of a submission, one by one, as they come in.

The code of the submission runs in this process and can do to it what it likes. So nothing here decides: a check only
sends values, and hears whether they are what was expected. Each line that comes in or goes out is JSON.
"""

import base64
import builtins
import importlib
import json
import os
import signal
import sys
import traceback
from contextlib import contextmanager, suppress
from functools import wraps
from types import FunctionType, ModuleType

from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from tito.grading.plain import ASK, GRADIENTS, encode

MOST_TEXT = 100_000  # characters that a cell may print


def main() -> None:
    commands, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb", buffering=0)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    settings = json.loads(commands.readline())
    give_up_rights(settings["limits"], settings["nobody"])
    shell = InteractiveShell.instance()
    for name in settings["imports"]:  # before anything of the submission runs
        with suppress(ImportError):
            importlib.import_module(name)
    process = Process(commands, replies, shell)
    process.send_gradients()
    process.library = Library()
    process.say(ready=True)
    for line in commands:
        process.obey(json.loads(line))


def give_up_rights(limits: dict[str, int], nobody: int) -> None:
    """From here on no more memory, processes and bytes on the disk than this; who is root becomes user `nobody`."""
    for name, most in limits.items():
        import resource  # on Unix

        with suppress(ValueError, OSError):  # not on this system
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (most, most))
    if nobody and os.getuid() == 0:
        os.setgroups([])
        os.setgid(nobody)
        os.setuid(nobody)


class Process:
    """The submission as it runs: its names, and what earlier checks have made in it."""

    def __init__(self, commands, replies, shell):
        self.commands, self.replies, self.shell = commands, replies, shell
        self.made, self.checking = {}, False

    def say(self, **message) -> None:
        self.replies.write(json.dumps(message).encode() + b"\n")

    def hear(self) -> dict:
        return json.loads(self.commands.readline())

    def obey(self, command: dict) -> None:
        """Run a cell, or a check, and say what came of it."""
        with at_most(command["seconds"]), capture_output() as captured:
            if "check" in command:
                error = self.check(command)
            else:
                result = self.shell.run_cell(command["cell"])
                error = result.error_before_exec or result.error_in_exec
            error = error and in_words(error)
        shown = [only_text_and_pictures(one.data) for one in captured.outputs]
        self.say(done=error, stdout=captured.stdout[-MOST_TEXT:], shown=shown)

    def check(self, command: dict) -> BaseException | None:
        """Run a check, where the names that it takes from libraries and from earlier checks are theirs."""
        self.library.put_back()
        sys.settrace(None)
        names, error = self.shell.user_ns, None
        if "origins" not in command:
            self.say(origins={name: self.origin(name) for name in command["names"]})
            command["origins"] = self.hear()
        theirs = {name: names[name] for name in command["origins"] if name in names}
        for name, origin in command["origins"].items():
            self.take(name, origin)
        names[ASK], self.checking = self.ask, True
        try:
            exec(compile(command["check"], f"<{command['name']}>", "exec", dont_inherit=True), names)
        except BaseException as problem:
            error = problem
        self.checking = False
        if replaced := self.library.put_back():
            error = RuntimeError(f"while the check ran, {', '.join(replaced[:3])} was replaced")
        mine = {name: names[name] for name in command["makes"] if name in names}
        self.made.update(mine)
        names.update(theirs | mine)
        return error

    def ask(self, number: int, *values) -> None:
        """Send values; raise AssertionError where they are not what was expected."""
        self.say(ask=number, values=[encode(value) for value in values])
        answer, asker = self.hear(), sys._getframe(1)
        if "truth" in answer:  # only of the reference: what is no data is compared here
            named = {f"_{place}": value for place, value in enumerate(values)}
            self.say(truth=bool(eval(answer["truth"], asker.f_globals, named)))
            answer = self.hear()
        if "wrong" in answer:
            raise AssertionError(said(answer["wrong"], answer["instead"], asker))

    def send_gradients(self) -> None:
        """Let gradients that a check compares be compared outside as well."""
        gradcheck = importlib.import_module("tinytorch.gradcheck")
        compare = gradcheck.compare_gradients

        @wraps(compare)
        def compare_and_send(name, i, expected, got, *options, **more):
            largest = compare(name, i, expected, got, *options, **more)
            if self.checking:
                self.ask(GRADIENTS, expected, got)
            return largest

        gradcheck.compare_gradients = compare_and_send

    def origin(self, name: str) -> list | None:
        """Where a name leads that is not the notebook's own."""
        if name not in self.shell.user_ns:
            return ["builtins", name] if hasattr(builtins, name) else None
        value = self.shell.user_ns[name]
        if value is self.made.get(name, self):
            return ["checks", name]
        if isinstance(value, ModuleType):
            return [value.__name__]
        path = [getattr(value, "__module__", None), getattr(value, "__qualname__", None)]
        try:
            return path if path[0] != "__main__" and found(path) is value else None
        except (KeyError, AttributeError, TypeError):
            return None

    def take(self, name: str, origin: list) -> None:
        if origin[0] == "builtins":
            self.shell.user_ns.pop(name, None)
        else:
            self.shell.user_ns[name] = self.made[name] if origin[0] == "checks" else found(origin)


def found(path: list) -> object:
    value = sys.modules[path[0]]
    for name in path[1].split(".") if path[1:] else []:
        value = getattr(value, name)
    return value


def said(message: str, instead: str, asker) -> str:
    """The message of an assertion, in the names of the code that asserts."""
    try:
        return str(eval(message, asker.f_globals, asker.f_locals)) if message else instead
    except Exception:
        return instead


def in_words(error: BaseException) -> dict:
    try:
        name, text = type(error).__name__, str(error)
        lines = traceback.format_exception(error)
    except BaseException as problem:  # of the submission's own `__str__`
        name, text, lines = type(error).__name__, f"an error that cannot be shown: {type(problem).__name__}", []
    return {"ename": name, "evalue": text[:MOST_TEXT], "traceback": [line[:MOST_TEXT] for line in lines[-20:]]}


def only_text_and_pictures(data: dict) -> dict:
    shown = {"text/plain": str(data.get("text/plain", ""))[:MOST_TEXT]}
    if picture := data.get("image/png"):
        shown["image/png"] = picture if isinstance(picture, str) else base64.b64encode(picture).decode()
    return shown


@contextmanager
def at_most(seconds: float):
    """Interrupt what takes longer, as Ctrl-C does."""
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)


class Library:
    """The functions and classes that checks stand on, as they were before the submission ran."""

    def __init__(self):
        roots = sys.stdlib_module_names | {"numpy", "tinytorch"}
        modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] in roots]
        self.names = [(vars(module), {name: value for name, value in vars(module).items() if callable(value)})
                      for module in modules if isinstance(module, ModuleType)]  # fmt: skip
        inner = {id(f): f for _, own in self.names for value in own.values()
                 if isinstance(f := getattr(value, "__wrapped__", value), FunctionType)}  # fmt: skip
        self.bodies = [(f, f.__code__, f.__defaults__, f.__kwdefaults__) for f in inner.values()]

    def put_back(self) -> list[str]:
        """Put back what was replaced; returns the names of it."""
        replaced = []
        for now, then in self.names:
            for name, value in then.items():
                if now.get(name) is not value:
                    replaced.append(f"{now.get('__name__')}.{name}")
                    now[name] = value
        for function, *body in self.bodies:
            now = [function.__code__, function.__defaults__, function.__kwdefaults__]
            if any(new is not old for new, old in zip(now, body)):
                replaced.append(function.__qualname__)
                function.__code__, function.__defaults__, function.__kwdefaults__ = body
        return replaced


if __name__ == "__main__":
    main()
