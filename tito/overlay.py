"""What the package says of workspaces: tinytorch/workspace.py by itself, for to import the package is to run what the
student exported, and `tito` must work when that is broken.
"""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

PACKAGE_FOLDER = Path(__file__).resolve().parents[1] / "tinytorch"  # the reference; both are installed side by side

_spec = spec_from_file_location("tito_overlay", PACKAGE_FOLDER / "workspace.py")
_overlay = module_from_spec(_spec)
_spec.loader.exec_module(_overlay)

VARIABLE, STUBS, FAST_STUDENT = _overlay.VARIABLE, _overlay.STUBS, _overlay.FAST_STUDENT
MARKER, NOTEBOOKS, EXPORTED = _overlay.MARKER, _overlay.NOTEBOOKS, _overlay.EXPORTED
OPEN_EXERCISE, NOT_WRITTEN, is_stub = _overlay.OPEN_EXERCISE, _overlay.NOT_WRITTEN, _overlay.is_stub
of_another_user, exported_files = _overlay.of_another_user, _overlay.exported_files
