"""AdaCLIP, hybrid learnable prompts. Only ``lightning_model`` imports Lightning."""
