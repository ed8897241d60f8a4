"""`python -m benchmarks.one NAME SCRATCH OUT`: one benchmark for `python -m benchmarks`; tells progress on stdout."""

import importlib
import sys
from pathlib import Path

from benchmarks.record import save


def main() -> int:
    """The command line."""
    name, scratch, out = sys.argv[1:]
    outcome = importlib.import_module(f"benchmarks.{name}").run(lambda what: print(what, flush=True), Path(scratch))
    save(outcome, Path(out))
    return 0


if __name__ == "__main__":
    sys.exit(main())
