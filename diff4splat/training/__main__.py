"""Train the compact model: `python -m diff4splat.training STAGE --help`."""

import sys

from diff4splat.training.commands import main

if __name__ == "__main__":
    try:
        main()
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
