"""Why: runs the suites named on the command line, or all of them, and counts."""
import importlib
import os
import sys

from . import harness

names = sys.argv[1:] or sorted(f[5:-3] for f in os.listdir(os.path.dirname(__file__)) if f.startswith("test_") and f.endswith(".py"))
for name in names:
    importlib.import_module(f"suites.test_{name}")
passed, failed = harness.run(harness.TESTS)
print(f"suites: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
