"""Measure a trained model on one category: scores and maps, figures, and what is kept of them."""
