"""Small synthetic data for measurements of training."""

from anomalib_cops import ZeroShotTransfer


def synthetic_data(images: int) -> ZeroShotTransfer:
    """Make a transfer between two synthetic categories each.

    Args:
        images: Number of images of the auxiliary set, half of them per category.
    """
    return ZeroShotTransfer(
        source_categories=["leather", "washer"],
        target_categories=["carpet", "screw"],
        synthetic_samples=images // 2,
        num_workers=0,
    )
