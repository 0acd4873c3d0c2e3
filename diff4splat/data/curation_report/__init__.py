"""What became of clips in curation, and why: counts, tables on disk, and a page with pictures."""

from diff4splat.data.curation_report.histograms import MetricHistogram, histogram_svg, metric_histograms
from diff4splat.data.curation_report.outcome_table import read_outcomes, write_outcomes, write_outcomes_csv
from diff4splat.data.curation_report.report import write_report
from diff4splat.data.curation_report.report_page import report_html
from diff4splat.data.curation_report.summary import (
    CurationSummary,
    DatasetCount,
    ReasonCount,
    StageTime,
    reason_kind,
    summarize,
)

__all__ = [
    "CurationSummary",
    "DatasetCount",
    "MetricHistogram",
    "ReasonCount",
    "StageTime",
    "histogram_svg",
    "metric_histograms",
    "read_outcomes",
    "reason_kind",
    "report_html",
    "summarize",
    "write_outcomes",
    "write_outcomes_csv",
    "write_report",
]
