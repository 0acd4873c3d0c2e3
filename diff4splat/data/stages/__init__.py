"""Stages of curation: pure functions on clips, run here or on a cluster, whose results are kept."""

from diff4splat.data.stages.item import Item, Outcome, Rejected, Value

__all__ = ["Item", "Outcome", "Rejected", "Value"]
