"""Sets of labelled images: which are known, where they lie on this disk, and one table row per image."""
