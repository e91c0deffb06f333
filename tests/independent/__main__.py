"""All readers against simple ones: python -m tests.independent --number=3000, from the root of the checkout."""

import argparse
import pathlib
import sys
import tempfile

sys.path[:0] = [str(pathlib.Path(__file__).parents[1])]

from independent.run import run  # noqa: E402

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--number", type=int, default=3000, help="of files")
    parser.add_argument("--first", type=int, default=0, help="number of the first file")
    parser.add_argument("--only", nargs="*", default=[], help="names of doors")
    arguments = parser.parse_args()
    home = pathlib.Path(tempfile.mkdtemp(prefix="independent"))
    found = run(range(arguments.first, arguments.first + arguments.number), home, arguments.only)
    print(*found.lines(), *found.wrong, sep="\n")
    sys.exit(bool(found.wrong))
