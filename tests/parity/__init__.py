"""Stage-by-stage comparison with numbers that the official implementations produced."""
