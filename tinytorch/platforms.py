"""What this platform can do. Python in a browser (emscripten) or a bare WebAssembly host (wasi) starts neither threads
nor processes, keeps no file locks and maps no file into memory; what needs one of these asks here."""
import sys

IN_WASM = sys.platform in ("emscripten", "wasi")
THREADS = PROCESSES = FILE_LOCKS = FILE_MAPPING = not IN_WASM


def require_threads(what):
    "Raises: RuntimeError that names `what`, where no thread can be started."
    if not THREADS:
        raise RuntimeError(f"{what}: Python on {sys.platform} starts no threads; do it with one")
