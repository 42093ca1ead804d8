"""AnomalyCLIP, object-agnostic prompt learning. Only ``lightning_model`` imports Lightning."""
