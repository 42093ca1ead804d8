"""Weight files: the project's own format, and the checkpoints that the authors of the methods published."""
