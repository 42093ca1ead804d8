"""Weight files: our own format, and the checkpoints that the authors published."""
