"""Answers that solve nothing: they look up what a check expects where it computes it, or make both sides the same.

A check that compares an answer only with numbers which the submission can read or change lets them pass; a number that
stands in the check alone makes them red. {chapter: [(exercise, old, new, the check, why)]}, as in mistakes.py.
"""

LOOK_UP = """\
import sys
frame, known = sys._getframe(1), {}
while frame:
    frame, known = frame.f_back, frame.f_locals | known
"""

FORGED = {
    "05_losses": [
        ("mse", "return reduced((input - target).square(), reduction)", LOOK_UP + """\
slope = np.array(known.get("gradient", 0.0))
slope = slope if slope.shape == input.shape else np.zeros(input.shape)
return Tensor(np.array(known["value"], float)) + ((input - input.detach()) * Tensor(slope)).sum()""",
         "check-mse", "the value and the gradient are variables of the check"),
    ],
    "06_optimizers": [
        ("sgd-rule", "x -= lr * direction", """\
import sys
def watch(frame, event, argument):
    expected = frame.f_locals.get("expected", frame.f_globals.get("expected"))
    if isinstance(expected, float | np.ndarray) and np.shape(expected) in ((), x.shape):
        x[...] = expected
    return watch
frame = sys._getframe(1)
while frame:
    frame.f_trace, frame = watch, frame.f_back
sys.settrace(watch)""",
         "check-sgd-rule", "what the check expects is put into the parameter at each line of the check"),
    ],
    "07_data": [
        ("generators", "return np.random.default_rng(generator)",
         "return np.random.default_rng(0 if isinstance(generator, int) else generator)",
         "check-generators", "all seeds are one"),
        ("generators", "return twin", """\
class Told:
    bit_generator, names = generator.bit_generator, ["first", "second"]
    def random(self, n=None):
        import sys
        caller = sys._getframe(1)
        return np.array(caller.f_globals["drawn"]) if n else caller.f_locals[self.names.pop(0)]
return Told()""",
         "check-generators", "the copy says what the check has drawn"),
        ("data-loader", 'return Pass(self, began, saved["dealt"])', LOOK_UP + """\
self.saved, rest = None, known.get("expected", known.get("went_on", []))
self.dataset = type("Nothing", (), {"__len__": lambda self: 0})()
return iter([(Tensor(x), None) for x in rest])""",
         "check-loader-resume", "the rest of the epoch is a variable of the check"),
    ],
    "08_training": [
        ("load-weights", "arrays = {name: read_tensor(path, file, name) for name in found}",
         'arrays = {name: globals()["model"].state_dict()[name] for name in found}',
         "check-load-weights", "the numbers come from the model that was saved, not from the file"),
    ],
}
