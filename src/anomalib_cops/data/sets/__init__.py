"""Data sets of labelled images: the catalogue, where they are on this disk, and tables with one row per image."""
