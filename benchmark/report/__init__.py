"""Report results: rank them, and write tables and a page."""
