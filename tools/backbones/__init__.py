"""Make ``docs/backbones.md``: which of open_clip's models the methods work with, their size, cost and licence."""
