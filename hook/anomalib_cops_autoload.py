"""Start-up hook of anomalib-cops: makes its models known when anomalib itself is imported.

It runs at every start of Python, so it imports nothing that is not loaded already and does nothing but put one finder
in front of the import system. ``ANOMALIB_COPS_AUTOLOAD=0`` switches it off.
"""

import os
import sys

WATCHED = ("anomalib.models", "anomalib.data", "anomalib.cli.cli")


class _Finder:
    """Finds the watched packages as everybody else does, and registers our models after they have been loaded."""

    @classmethod
    def find_spec(cls, name, path=None, target=None):  # noqa: ANN001, ANN206 (annotations would cost an import)
        if name not in WATCHED:
            return None
        for finder in sys.meta_path:
            if finder is not cls and hasattr(finder, "find_spec"):
                spec = finder.find_spec(name, path, target)
                if spec is not None:
                    return _watch(spec)
        return None


def _watch(spec):
    load = getattr(spec.loader, "exec_module", None)
    if load is not None:

        def exec_module(module):
            load(module)
            _register()

        spec.loader.exec_module = exec_module
    return spec


def _register():
    """Register; whatever goes wrong, anomalib has to go on."""
    try:
        from anomalib_cops.plugin import register

        register()
    except Exception as error:
        import warnings

        warnings.warn(f"anomalib-cops could not register its models ({error})", RuntimeWarning, stacklevel=2)


def install():
    """Put the finder in place, once."""
    if os.environ.get("ANOMALIB_COPS_AUTOLOAD", "1") != "0" and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
