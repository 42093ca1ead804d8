"""Run what is missing of a benchmark: train, test and record, in this process or on a Ray cluster."""
