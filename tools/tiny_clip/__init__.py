"""Train and measure the embedded tiny CLIP; wheels do not contain this.

Run from the checkout: ``python -m tools.tiny_clip.train``, ``.average`` and ``.evaluate``.
"""
