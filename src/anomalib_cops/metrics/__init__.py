"""Metrics that anomalib does not have, or has but not in fixed memory."""

from anomalib_cops.metrics.sampled import sampled_aupro

__all__ = ["sampled_aupro"]
