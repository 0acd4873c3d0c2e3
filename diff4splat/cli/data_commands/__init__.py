"""The commands of `diff4splat data`: which datasets can be read, is one sound, its curation."""
