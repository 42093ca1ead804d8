"""Run every command and snippet of the documentation."""
