"""VCP-CLIP, visual context prompting. Only ``lightning_model`` imports Lightning."""
