"""Train and measure the embedded tiny CLIP; the wheel does not contain this."""
