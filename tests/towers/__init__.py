"""Random towers of every family, compared with open_clip's own computation."""
