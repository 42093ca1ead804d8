"""Pieces that prompts are made of: templates, deep prompts and hand-written sentences."""
