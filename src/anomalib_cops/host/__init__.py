"""What touches Lightning or anomalib: training, checkpoints, images in, scores and pictures out."""
