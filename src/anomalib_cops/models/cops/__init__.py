"""CoPS, conditional prompt synthesis. Only ``lightning_model`` imports Lightning."""
