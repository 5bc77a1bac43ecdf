"""All benchmarks, one after the other, as Markdown tables. usage: run.py [NAME...]"""
import importlib
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
NAMES = sorted(f[:-3] for f in os.listdir(os.path.dirname(os.path.abspath(__file__))) if f.endswith(".py") and f not in ("run.py", "lib.py"))

wanted, sys.argv[1:] = sys.argv[1:] or NAMES, []  # each one's own arguments have their defaults here
for name in wanted:
    if name not in NAMES:
        raise SystemExit(f"bench: no benchmark '{name}'; there are: {', '.join(NAMES)}")
    importlib.import_module(name).main()
