"""AnomalyCLIP: object-agnostic prompt learning for zero-shot anomaly detection (ICLR 2024)."""
