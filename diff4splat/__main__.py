"""`python -m diff4splat` is the command `diff4splat`."""

import sys

from diff4splat.cli import main

if __name__ == "__main__":
    sys.exit(main())
