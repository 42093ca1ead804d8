"""Whatever the docs tell a reader to type, typed."""
