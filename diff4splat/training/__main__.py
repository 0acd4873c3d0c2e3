"""Train the compact model: `python -m diff4splat.training STAGE --help`."""

from diff4splat.training.commands import main

if __name__ == "__main__":
    main()
