"""What `diff4splat export` writes: the table of kinds in `kinds.py`, and one file of writers per family."""
