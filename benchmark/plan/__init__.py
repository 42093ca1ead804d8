"""Plan a benchmark: read its matrix, list its cells, and find out what identifies each."""
