"""Why: runs the suites named on the command line, or all but those with the real vLLM, and counts. A suite is test_NAME.py and
whatever begins with test_NAME_; in a name a dash is an underscore. NAME:WORDS runs those tests of it whose sentence has the words."""
import glob
import importlib
import os
import sys

from . import harness


def modules(name):
    here, name = os.path.dirname(__file__), name.replace("-", "_")
    found = sorted(glob.glob(os.path.join(here, f"test_{name}.py")) + glob.glob(os.path.join(here, f"test_{name}_*.py")))
    return [os.path.basename(path)[:-3] for path in found] or sys.exit(f"suites: there is no suite {name}")


names = sys.argv[1:] or sorted(f[5:-3] for f in os.listdir(os.path.dirname(__file__))
                               if f.startswith("test_") and f.endswith(".py") and not f.startswith("test_real"))
chosen = []
for name in names:
    name, _, words = name.partition(":")
    found = modules(name)
    for module in found:
        importlib.import_module(f"suites.{module}")
    chosen += [t for t in harness.TESTS if t[0] in found and words in t[1] and t not in chosen]
passed, failed = harness.run(chosen or sys.exit("suites: no test has those words"))
print(f"suites: {passed} passed, {failed} failed")
sys.exit(1 if failed else 0)
