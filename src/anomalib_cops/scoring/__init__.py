"""Score a folder of any size into a table that a later run continues: ``anomalib-cops score``."""
