"""List how the tests run every command of the docs, or which other test runs it.

The first entry whose pattern matches the whole command counts. A new command of a known kind needs no entry.
"""

import re
import shlex
from dataclasses import dataclass

from tests.docs.pages import ROOT

TINY = "--model.backbone tiny --model.epochs 1"
FEW = "--data.synthetic_samples 4 --data.synthetic_size 64 --data.num_workers 0"
ONE_EACH = "--data.source_categories [{}] --data.target_categories [{}]"
TRAINED = ("results/**/weights/lightning/model.ckpt", "results/**/weights/*.safetensors")
FIGURES = r"image_AUROC.*pixel_AUPRO"

WORDS = {
    "METHOD": "anomaly_clip",
    "FIXTURE.npz": str(ROOT / "tests/parity/golden/{}.npz"),
    "ROOT": "datasets",
    "[NAME]": "mvtec",
    "NAME": "visa",
    "DIR": "unpacked",
    "/data": "./datasets",
    "…": "",
}
"""Replacements of placeholders in commands; {} becomes the method that the command names."""


@dataclass(frozen=True)
class Run:
    """A command that ``test_commands.py`` runs.

    Attributes:
        pattern: regular expression of the command.
        add: further arguments, which make the run small; the last of two equal arguments counts.
        leaves: file patterns; the command must leave at least one match of each in the working folder.
        says: regular expression that its output must match.
        installed: run the installed program as a shell does; otherwise run it in a forked process.
    """

    pattern: str
    add: str = ""
    leaves: tuple[str, ...] = ()
    says: str = ""
    installed: bool = False

    def words(self, command: str) -> list[str]:
        """Return the words of the command with placeholders replaced and arguments added."""
        words = [WORDS.get(word, word) for word in shlex.split(command)]
        method = next((word for word in words if (ROOT / f"tests/parity/golden/{word}.npz").exists()), "")
        return [word.format(method) if "{}" in word else word for word in words if word] + shlex.split(self.add)


@dataclass(frozen=True)
class Elsewhere:
    """A command that another test runs, as it takes too long or changes the environment.

    Attributes:
        pattern: regular expression of the command.
        where: the file that runs it.
        by: text in that file that runs it.
    """

    pattern: str
    where: str
    by: str


PREDICTED = ("results/**/images/**/*.png", "results/**/scores.csv")
COMMANDS: list[Run | Elsewhere] = [
    Elsewhere(r"make demo", "tests/test_demo.py", "demo.main("),
    Elsewhere(r"make test", ".ci/run", "make test"),
    Elsewhere(r"make check", ".ci/run", "make lint"),
    Elsewhere(r"python -m tools\.reference_study", "tests/tools/test_reference_study.py", "study.main("),
    Elsewhere(r"python -m tools\.tile_study", "tests/tools/test_tile_study.py", "study.main("),
    Elsewhere(r"python -m tools\.backbones", "tests/tools/test_backbones.py", "measure("),
    Elsewhere(r"make towers", ".ci/open_clip", "tests/encoder"),
    Elsewhere(r"python -m benchmark run published .*", "tests/benchmark/test_ready.py", '"published"'),
    Elsewhere(r"make format", "tests/test_docs.py", "tables.main("),
    Elsewhere(r"pip install (--no-deps \.|numpy pillow onnxruntime)", "tests/models/test_edge.py", "pip install"),
    Elsewhere(r"pip (un)?install.*", "Makefile", "pip install"),
    Elsewhere(r"python -m tools\.tiny_clip\.train", "tests/tools/test_tiny_clip.py", "training.main("),
    Elsewhere(r"python -m tools\.tiny_clip\.evaluate", "tests/test_tiny.py", "measure_subset("),
    Elsewhere(r"python -m benchmark run", "tests/models/verbs.py", "cli.main("),
    Elsewhere(
        r"python -m benchmark speed --precision --device cuda", "tests/benchmark/test_precision.py", "measure_card("
    ),
    Run(
        r"python -m benchmark speed --precision .*",
        "--quick --output precision",
        ("precision/precision.json",),
        r"OpenVINO, int8 \|.*ONNX Runtime, float16",
    ),
    Elsewhere(r"python -m benchmark speed", "tests/benchmark/test_speed.py", "speed"),
    Elsewhere(
        r"anomalib train .*\.n_prototypes auto .*", "tests/models/test_cops_auto.py", '"model.n_prototypes": "auto"'
    ),
    Run(
        r"anomalib train .* --trainer.strategy ddp",
        f"{TINY} {FEW} {ONE_EACH.format('leather', 'screw')}",
        TRAINED,
        FIGURES,
        installed=True,
    ),
    Run(
        r"anomalib train .* --data.source visa --data.target mvtec .*",
        f"{TINY} {FEW} {ONE_EACH.format('candle', 'bottle')}",
        TRAINED,
        FIGURES,
    ),
    Run(
        r"anomalib train .* --data.source visa .*\[mvtec, ./my_parts\].*",
        f"{TINY} {FEW} {ONE_EACH.format('candle', 'bottle,my_parts')}",
        TRAINED,
        FIGURES,
    ),
    Run(
        r"anomalib train .* --data.masks none .*",
        f"{TINY} {FEW} --data.target_categories [screw]",
        TRAINED,
        FIGURES,
    ),
    Run(
        r"anomalib train .* --model.feature_cache ./features .* --data.source visa",
        f"{TINY} {FEW} --data.root ./datasets {ONE_EACH.format('candle', 'screw')}",
        (*TRAINED, "features/**/*.safetensors"),
        FIGURES,
    ),
    Run(
        r"anomalib train .* --data.synthetic_world looks",
        f"--model.epochs 1 {FEW} {ONE_EACH.format('granite', 'terrazzo')}",
        TRAINED,
        FIGURES,
    ),
    Run(r"anomalib train .* --data.target .*", f"{TINY} {FEW} --data.source_categories [leather]", TRAINED, FIGURES),
    Run(
        r"(anomalib|anomalib-cops) train .*",
        f"{TINY} --data ZeroShotTransfer {FEW} {ONE_EACH.format('leather', 'screw')}",
        TRAINED,
        FIGURES,
    ),
    Run(
        r"anomalib test .* --data ZeroShotTransfer",
        f"{FEW} --data.target_categories [screw]",
        (),
        FIGURES,
        installed=True,
    ),
    Run(
        r"anomalib test .* --model.k_shot 4 --data MVTecAD",
        "--model.backbone tiny --model.k_shot 1 --data.root ./datasets/mvtec_anomaly_detection --data.category bottle "
        "--data.num_workers 0",
        (),
        "image_AUROC",
    ),
    Run(
        r"anomalib-cops calibrate .*", "", ("*.safetensors",), r"labels for a false-alarm rate of \d+ %, calibrated on"
    ),
    Elsewhere(r"anomalib-cops score .* --model model.onnx .*", "tests/scoring/test_exported.py", '"model.onnx"'),
    Elsewhere(r"anomalib-cops score s3://.*", "tests/scoring/test_listing.py", 'Job("memory://bucket"'),
    Run(r"anomalib-cops score .* --ray", "", ("parts.parquet/*.parquet",), r"3 images, 3 of them new", installed=True),
    Run(
        r"anomalib-cops score .* --pictures .*",
        "",
        ("scores.csv", "pictures/*.png"),
        r"3 images, 3 of them new",
        installed=True,
    ),
    Run(r"anomalib-cops score .*", "", ("scores.*.settings.json",), r"[36] images, [36] of them new"),
    Run(r"anomalib predict .* --data folder_of_images", "", PREDICTED, r"Scores of \d+ image", installed=True),
    Run(r"anomalib predict .*", "", PREDICTED, r"Scores of \d+ image"),
    Run(r"anomalib-cops sensitivity .*", "", ("blocks.csv",), r"image\.\d.*images; "),
    Run(r"anomalib export .* --compression_type FP16", "", ("results/**/model.xml",)),
    Run(
        r"anomalib export .* --data ZeroShotTransfer .*",
        f"--data.root ./datasets {ONE_EACH.format('candle', 'screw')} --data.num_workers 0",
        ("results/**/model.xml",),
    ),
    Run(r"anomalib export .* --data UnlabelledImages .*", "", ("results/**/model.xml",)),
    Run(r"anomalib export .* --onnx_kwargs .*", "", ("results/**/model.onnx",)),
    Run(r"anomalib export .* --export_type onnx", "", ("results/**/model.onnx",), installed=True),
    Run(r"anomalib benchmark --config experiment.yaml", "", ("runs/**/*.csv",), installed=True),
    Run(r"python -m anomalib_cops\.data check ROOT", "", (), "mvtec"),
    Run(r"python -m anomalib_cops\.data layout .*", "", (), "ground_truth"),
    Run(r"python -m anomalib_cops\.data unpack A.zip DIR", "", ("unpacked/01/good/*.png",)),
    Run(r"python -m tests\.parity", "anomaly_clip " + WORDS["FIXTURE.npz"].format("anomaly_clip"), (), "ok"),
    Run(r"python -m tests\.parity .* FIXTURE.npz", "", (), "ok"),
    Run(r"python -m benchmark run .* --dry-run", "", (), "cells"),
    Run(r"python -m benchmark run (ablation|(paper|my.yaml) .*)|cops-benchmark run quick", "--dry-run", (), "cells"),
    Run(
        r"python -m benchmark run quick .*",
        "--methods [AnomalyCLIP] --output new --root ./few",
        ("new/cells/**/*.json", "new/trained/**/*.safetensors"),
        "categories tested",
    ),
    Run(
        r"python -m benchmark run shots .*",
        "--methods [AnomalyCLIP] --draws [1] --output new --root ./few",
        ("new/cells/**/*-shots8-draw1--*.json", "new/trained/**/*.safetensors"),
        "categories tested",
    ),
    Run(
        r"python -m benchmark run backbones",
        "--methods [AnomalyCLIP] --output new",
        ("new/cells/*/tiny/*.json", "new/cells/*/tiny-60-px/*.json"),
        "categories tested",
    ),
    Run(r"python -m benchmark table", "", (), "AnomalyCLIP"),
    Run(r"python -m benchmark report", "", ("results/benchmark/report.html",)),
]


def entry_for(command: str) -> Run | Elsewhere | None:
    """Return the first entry that matches a command; None if there is none."""
    return next((entry for entry in COMMANDS if re.fullmatch(entry.pattern, command)), None)
