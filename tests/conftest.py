"""Fixtures for tests of all parts."""

from collections.abc import Iterator

import jaxtyping
import pytest

from anomalib_cops.openvino_import import import_openvino

# Tests import OpenVINO themselves; each of its reports would fork a process of gigabytes.
import_openvino("openvino_telemetry")


@pytest.fixture
def unchecked() -> Iterator[None]:
    """No shape checks, which take the symbolic sizes of a traced graph for wrong ones, and wrong
    values for wrong types."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
