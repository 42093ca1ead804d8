"""Keep results: one file per cell, in a folder that several runs may write to."""
