"""Image files: decoding, levels of 8 bits, names of pictures made of them. Needs NumPy and Pillow alone."""
