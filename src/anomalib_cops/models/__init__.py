"""The zero-shot models: one folder per method, and what their Lightning modules share."""
