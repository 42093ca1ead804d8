"""CoPS: conditional prompt synthesis; importing this folder does not import Lightning, ``lightning_model`` does."""
