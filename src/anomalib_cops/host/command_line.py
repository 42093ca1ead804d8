"""What anomalib's command line has to know of our models; importing this loads nothing heavy."""

import sys
from pathlib import Path
from types import TracebackType
from typing import Any

IMAGE_LOOKUPS = ("anomalib.data.utils.image", "anomalib.data.utils.path")


def adapted(cli: type[Any]) -> type[Any]:
    """Adapt the class of anomalib's command line: models come from the checkpoint given, and errors are sentences.

    anomalib makes a model before it looks at ``--ckpt_path``. A bare ``--model CoPS`` would be ViT-L with the default
    settings, whatever the checkpoint was trained with.
    """
    if getattr(cli, "knows_anomalib_cops", False):
        return cli

    class AdaptedCLI(cli):
        knows_anomalib_cops = True

        def __init__(self, *args: Any, **kwargs: Any) -> None:
            """Parse and run a command; end with one sentence where the user's input cannot be used."""
            sys.argv[:] = with_names_of_compressions(sys.argv)
            try:
                super().__init__(*args, **kwargs)
            except Exception as error:
                sentence = sentence_of(error)
                if sentence is None:
                    raise
                sys.exit(f"error: {sentence}")

        def before_instantiate_classes(self) -> None:
            """Prepare what anomalib makes next: the model."""
            from anomalib.models import AnomalibModule

            super().before_instantiate_classes()
            config = self.config[self.config["subcommand"]]
            if hand_checkpoint_to_model(config) and self.config["subcommand"] == "export":
                # anomalib would make the model again from the checkpoint, without the arguments given here.
                config["ckpt_path"] = None
            self.parser.add_instantiator(instantiate, AnomalibModule)

    return AdaptedCLI


def hand_checkpoint_to_model(config: Any) -> bool:
    """Give one of our models the checkpoint as its weights, unless it has others.

    Args:
        config: of a subcommand, after parsing; other models are left alone.

    Returns:
        Whether the model gets its weights from there.
    """
    model, path = config.get("model"), config.get("ckpt_path")
    if not path or not model or not str(model.get("class_path", "")).startswith("anomalib_cops."):
        return False
    arguments = model.get("init_args") or {}
    file = Path(path).expanduser()
    if arguments.get("weights") or not file.is_file():
        return False
    arguments["weights"] = str(file)
    return True


def with_names_of_compressions(words: list[str]) -> list[str]:
    """Return a command line in which the value of ``--compression_type`` is a name, which is in capitals.

    anomalib's own values, such as int8_ptq, are what its pages and its Python calls use.
    """
    option, named = "--compression_type", []
    for before, word in zip(["", *words], words, strict=False):
        if before == option:
            named.append(word.upper())
        elif word.startswith(f"{option}="):
            named.append(f"{option}={word.removeprefix(f'{option}=').upper()}")
        else:
            named.append(word)
    return named


def instantiate(model: type[Any], *args: Any, **kwargs: Any) -> Any:
    """Make a model; end with one sentence where its arguments cannot be used.

    jsonargparse would wrap the sentence in two hundred lines about the types that it tried.
    """
    from anomalib_cops.errors import InputError

    try:
        return model(*args, **kwargs)
    except InputError as error:
        sys.exit(f"error: {error}")


def sentence_of(error: BaseException) -> str | None:
    """Find the sentence in an error that says what is wrong with the user's input; None for other errors.

    That is an InputError, and what anomalib itself says of images for a prediction that are not there.
    """
    from anomalib_cops.errors import InputError

    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, (ValueError, OSError)) and _raised_in(error.__traceback__) in IMAGE_LOOKUPS:
        return f"{error}; give an image or a folder with images."
    return None


def _raised_in(traceback: TracebackType | None) -> str | None:
    """Return the name of the module that raised."""
    name = None
    while traceback is not None:
        name, traceback = traceback.tb_frame.f_globals.get("__name__"), traceback.tb_next
    return name
