"""Measure time, arithmetic and memory beside open_clip's plain ``encode_image``."""
