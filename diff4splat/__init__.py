"""4D Gaussian building blocks, and the Diff4Splat pipeline composed of nothing but them."""

__version__ = "0.1.0"
