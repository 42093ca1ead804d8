"""What anomalib's command line needs to know of our models; imports nothing heavy."""

from pathlib import Path
from typing import Any


def checkpoint_aware(cli: type[Any]) -> type[Any]:
    """The command line's class, with models that are made from the checkpoint that was given.

    anomalib makes a model before it looks at ``--ckpt_path``. A bare ``--model CoPS`` would be ViT-L with the default
    settings, whatever the checkpoint was trained with.
    """
    if getattr(cli, "is_checkpoint_aware", False):
        return cli

    class CheckpointAwareCLI(cli):
        is_checkpoint_aware = True

        def before_instantiate_classes(self) -> None:
            super().before_instantiate_classes()
            hand_checkpoint_to_model(self.config[self.config["subcommand"]])

    return CheckpointAwareCLI


def hand_checkpoint_to_model(config: Any) -> None:
    """Give one of our models the checkpoint as its weights, unless it has others.

    Args:
        config: of a subcommand, after parsing; other models are left alone.
    """
    model, path = config.get("model"), config.get("ckpt_path")
    if not path or not model or not str(model.get("class_path", "")).startswith("anomalib_cops."):
        return
    arguments = model.get("init_args") or {}
    file = Path(path).expanduser()
    if not arguments.get("weights") and file.is_file():
        arguments["weights"] = str(file)
