"""Figures that anomalib's metrics do not give, or not in fixed memory."""

from anomalib_cops.metrics.sampled import sampled_aupro

__all__ = ["sampled_aupro"]
