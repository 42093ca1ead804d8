"""Define the entries of a configuration: methods and transfers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from .names import SYNTHETIC

Role = Literal["method", "baseline", "ablation"]
FITTED_ON_REFERENCES = "references"


@dataclass
class MethodConfig:
    """A model with options, under the name that tables show.

    Attributes:
        name: Name in tables.
        model: Name of one of this package's models, or the path of an anomalib model's class
            (``anomalib.models.WinClip``).
        options: Arguments of the model's constructor.
        test_options: Arguments that apply to the test alone. Methods that differ in nothing else share one training.
        backbone: Name of the board that the method is ranked on; by default the option ``backbone``, or a name made
            from the class.
        role: A method, a baseline that methods are compared with, or an ablation, which is not ranked.
        fitted_on: What a model of others learns from if it has anything to learn: the source, or the references of the
            category that is tested.
    """

    name: str
    model: str
    options: dict[str, Any] = field(default_factory=dict)
    test_options: dict[str, Any] = field(default_factory=dict)
    backbone: str | None = None
    role: Role = "method"
    fitted_on: Literal["source", "references"] = "source"


@dataclass
class Transfer:
    """An auxiliary set, and the data sets that are tested after training on it.

    Attributes:
        source: Name or folder of the auxiliary set (VCP-CLIP needs masks); a list of several to train on together.
        targets: Names or folders of the data sets to test.
        source_categories: Categories of the source to train on; all if None.
        target_categories: Categories of the targets to test; all if None.
        discover: True to add every labelled data set below the root folder except the source; a list to add those of
            the list that are there.
        methods: Names of the methods that the transfer is for; all if None.
        options: Further arguments of the models' constructors, such as the preset of this source.
    """

    source: str | list[str]
    targets: list[str] = field(default_factory=list)
    source_categories: list[str] | None = None
    target_categories: list[str] | None = None
    discover: bool | list[str] = False
    methods: list[str] | None = None
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """The auxiliary sets, also if there is only one."""
        return (self.source,) if isinstance(self.source, str) else tuple(self.source)

    @property
    def spared(self) -> tuple[str, ...]:
        """Synthetic categories that are named for the test, so that the training is left the others."""
        both_synthetic = all(SYNTHETIC in map(str.lower, names) for names in (self.sources, self.targets))
        return tuple(self.target_categories or ()) if both_synthetic and not self.source_categories else ()

    def is_for(self, method: MethodConfig) -> bool:
        """Return whether a method takes part."""
        return self.methods is None or method.name in self.methods

    def discovers(self, name: str, source_names: Sequence[str]) -> bool:
        """Return whether a data set that lies below the root folder becomes a target."""
        return name not in source_names and (self.discover is True or name in (self.discover or ()))
