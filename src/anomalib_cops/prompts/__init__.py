"""What the text encoder is fed."""
