"""The zero-shot models: one folder per method, and the code that builds a model from a user's arguments."""
