"""VCP-CLIP: visual context prompting; importing this folder does not import Lightning, ``lightning_model`` does."""
