"""From an image to a decision: read a picture, score it with a model or an exported file, find regions, draw."""
