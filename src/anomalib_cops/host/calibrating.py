"""Calibrate thresholds on good or unlabelled images of the target, for a chosen false-alarm rate."""

import logging
from collections.abc import Sequence

from anomalib_cops.conformal import FALSE_ALARM_RATE, is_promised, threshold_for, without_highest
from anomalib_cops.data.good_images import ImageSource, check_readable, list_images, with_content_of
from anomalib_cops.data.sets.samples import abbreviate
from anomalib_cops.errors import InputError
from anomalib_cops.host.image_scores import RawScores, raw_scores
from anomalib_cops.host.post_processing import TransferPostProcessor
from anomalib_cops.host.reference_images import ReferencesMixin
from anomalib_cops.weights.target import Calibration

logger = logging.getLogger(__name__)


class CalibrationMixin(ReferencesMixin):
    """Set thresholds from images of the target without labels of anomalies."""

    has_trained_weights: bool

    @property
    def calibration(self) -> Calibration | None:
        """Where calibrated thresholds come from; None if there are none."""
        return getattr(self.post_processor, "calibration", None)

    def calibrate(
        self,
        images: ImageSource | None = None,
        false_alarm_rate: float = FALSE_ALARM_RATE,
        anomalous_share: float = 0.0,
    ) -> Calibration:
        """Set the thresholds of image labels and masks so that good images give few false alarms.

        A good image is labelled anomalous at no more than ``false_alarm_rate``, and has pixels in its mask at no more
        than this rate, if the images are drawn like those that are inspected later. With n images no rate below
        1 / (n + 1) can be promised; the log says so.

        Args:
            images: folder or list of good images of the target, which are not among the references. By default the
                references, each scored by the others: their thresholds are a little too high, as more references make
                scores lower.
            false_alarm_rate: in (0, 1).
            anomalous_share: assumed share of anomalous images among ``images``, in [0, 1), if they are unlabelled: the
                highest scores are left out. The promise is then as good as the assumption.

        Returns:
            Where the thresholds come from.

        Raises:
            InputError: a number is out of range, an image cannot be read, or there is nothing to calibrate with.
        """
        self._check(false_alarm_rate, anomalous_share)
        self.load_due_references()
        if images is None:
            scores, source = self._scores_of_references(), f"{self.references}, each scored by the others"
        else:
            paths = list_images(images, "images to calibrate with")
            check_readable(paths)
            self._refuse_references(paths)
            kind = "unlabelled" if anomalous_share else "good"
            source = f"{len(paths)} {kind} image{'s' * (len(paths) != 1)}"
            scores = raw_scores(self, paths)
        if anomalous_share:
            source = f"{source} with an assumed share of {100 * anomalous_share:g} % anomalies"
        good = [without_highest(values, anomalous_share) for values in scores]
        if not good[0]:
            raise InputError(f"anomalous_share={anomalous_share} leaves no image to calibrate with; give more images.")
        promised = is_promised(len(good[0]), false_alarm_rate)
        calibration = Calibration(false_alarm_rate, len(good[0]), source, promised, self.tiles)
        thresholds = [threshold_for(values, false_alarm_rate) for values in good]
        self.post_processor.set_thresholds(*thresholds, calibration)
        logger.log(logging.INFO if promised else logging.WARNING, "Thresholds for %s.", calibration)
        return calibration

    def _check(self, false_alarm_rate: float, anomalous_share: float) -> None:
        name = type(self).__name__
        if not isinstance(self.post_processor, TransferPostProcessor):
            raise InputError(f"{name} has no post-processor that could keep thresholds; leave post_processor out.")
        if not self.has_trained_weights:
            raise InputError(f"{name} has no trained weights, so its scores mean nothing; train it, or give weights.")
        if not 0 < false_alarm_rate < 1:
            raise InputError(f"false_alarm_rate={false_alarm_rate} must be between 0 and 1, such as 0.01.")
        if not 0 <= anomalous_share < 1:
            raise InputError(f"anomalous_share={anomalous_share} must be 0 or more and less than 1.")

    def _scores_of_references(self) -> RawScores:
        if self.references is None:
            raise InputError(
                f"{type(self).__name__} has nothing to calibrate with: give good images, or load reference images."
            )
        if len(self.references.files) == 1:
            raise InputError("A single reference image has no other to be scored by; give images to calibrate with.")
        return RawScores(self.references.scores, self.references.peaks)

    def _refuse_references(self, paths: Sequence[str]) -> None:
        shared = with_content_of(paths, self.references.contents) if self.references is not None else []
        if shared:
            raise InputError(
                f"{abbreviate(shared)} {'is' if len(shared) == 1 else 'are'} among the reference images, whose scores "
                "are too low to calibrate with; give other good images, or none to score each reference by the others."
            )
