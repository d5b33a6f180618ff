"""Makes the list of attacks importable, which is no test."""
import importlib.util
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("attacks", Path(__file__).with_name("attacks.py"))
attacks = sys.modules["attacks"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(attacks)
