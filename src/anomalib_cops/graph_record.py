"""The record in an exported graph's metadata that says what its scores mean; needs the standard library alone."""

import json
from typing import Any

ENTRY = "anomalib_cops"
"""Name of the entry in the metadata."""
FULL = "float32/"
"""The names of nodes that must compute in float32 begin like this."""
TOWER = "tower/"
"""The names of nodes that may be rounded begin like this."""


def to_text(record: dict[str, Any]) -> str:
    """Return a record of plain data as it stands in the metadata."""
    return json.dumps(record, sort_keys=True)


def from_text(text: str | None) -> dict[str, Any]:
    """Return the record of a graph; empty for a graph without one, or with another program's."""
    try:
        return dict(json.loads(text)) if text else {}
    except ValueError:
        return {}
