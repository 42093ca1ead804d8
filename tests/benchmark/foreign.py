"""Provide anomalib models that are not of this package."""

import torch
from anomalib import LearningType
from anomalib.data import InferenceBatch
from anomalib.models import AnomalibModule
from anomalib.pre_processing import PreProcessor
from torch import nn
from torchvision.transforms.v2 import Resize


class Darkness(AnomalibModule):
    """Take dark pixels for anomalous, without training. Keep the first category's name, as WinCLIP does."""

    def __init__(self, power=1.0, pre_processor=True, post_processor=True, evaluator=True, visualizer=True):
        super().__init__(pre_processor, post_processor, evaluator, visualizer)
        self.power = power
        self.category = None
        self.model = nn.Identity()

    @property
    def learning_type(self):
        return LearningType.ZERO_SHOT

    @property
    def trainer_arguments(self):
        return {}

    @staticmethod
    def configure_pre_processor(image_size=None):
        return PreProcessor(Resize((32, 32), antialias=True))

    def setup(self, stage):
        self.category = self.category or self.trainer.datamodule.category

    def test_step(self, batch, *args, **kwargs):
        return self.validation_step(batch)

    def validation_step(self, batch, *args, **kwargs):
        known = {path.split("/")[-3] for path in batch.image_path}
        assert known == {self.category}
        maps = (1 - batch.image.mean(dim=1)) ** self.power
        return batch.update(**InferenceBatch(pred_score=maps.amax(dim=(1, 2)), anomaly_map=maps)._asdict())


class Learner(Darkness):
    """Train one number; the score is the distance from it."""

    def __init__(self, epochs=1, pre_processor=True, post_processor=True, evaluator=True, visualizer=True):
        super().__init__(1.0, pre_processor, post_processor, evaluator, visualizer)
        self.model = nn.Linear(1, 1)

    @property
    def learning_type(self):
        return LearningType.ONE_CLASS

    @property
    def trainer_arguments(self):
        return {"max_epochs": 1, "num_sanity_val_steps": 0}

    def setup(self, stage):
        pass

    def training_step(self, batch, *args):
        return (self.model.weight - batch.image.mean()).square().sum()

    def validation_step(self, batch, *args, **kwargs):
        maps = (batch.image.mean(dim=1) - self.model.weight.squeeze()).abs()
        return batch.update(**InferenceBatch(pred_score=maps.amax(dim=(1, 2)), anomaly_map=maps)._asdict())

    def configure_optimizers(self):
        return torch.optim.SGD(self.model.parameters(), lr=0.1)


class Broken(Darkness):
    """Return NaN."""

    def setup(self, stage):
        pass

    def validation_step(self, batch, *args, **kwargs):
        maps = batch.image.mean(dim=1) * float("nan")
        return batch.update(**InferenceBatch(pred_score=maps.amax(dim=(1, 2)), anomaly_map=maps)._asdict())
