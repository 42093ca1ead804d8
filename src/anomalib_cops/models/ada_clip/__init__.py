"""AdaCLIP: hybrid learnable prompts; importing this folder does not import Lightning, ``lightning_model`` does."""
