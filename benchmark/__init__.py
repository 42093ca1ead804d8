"""The leaderboard: one command from folders to comparison tables (docs/benchmark.md).

In a checkout this package is ``benchmark``, installed it is ``anomalib_cops_benchmark``, so that no package of that
common name lands among a user's; hence the relative imports. It depends on ``anomalib_cops``, never the reverse.
"""
