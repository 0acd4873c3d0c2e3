"""Stages of curation: pure functions on clips, run here or on a cluster, whose results are kept."""

from diff4splat.data.stages.item import Item, Outcome, Rejected, Value
from diff4splat.data.stages.results import load_item, result_path
from diff4splat.data.stages.run import run_stages
from diff4splat.data.stages.stage import Stage, Task, file_stamp, result_keys, seed_of_uid

__all__ = [
    "Item",
    "Outcome",
    "Rejected",
    "Stage",
    "Task",
    "Value",
    "file_stamp",
    "load_item",
    "result_keys",
    "result_path",
    "run_stages",
    "seed_of_uid",
]
