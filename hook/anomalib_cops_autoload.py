"""Start-up hook of anomalib-cops: register its models when anomalib is imported.

The hook runs at every start of Python. So it imports only modules that are loaded already, and only adds one finder to
the import system. ``ANOMALIB_COPS_AUTOLOAD=0`` switches it off.
"""

import os
import sys

WATCHED = ("anomalib.models", "anomalib.data", "anomalib.cli.cli")


class _Finder:
    """Find the watched modules through the other finders, and register our models after they have been loaded."""

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
    """Register the models; warn instead of raising, so that anomalib always works."""
    try:
        from anomalib_cops.plugin import register

        register()
    except Exception as error:
        import warnings

        warnings.warn(f"anomalib-cops could not register its models ({error})", RuntimeWarning, stacklevel=2)


def install():
    """Add the finder to the import system, unless it is there already or switched off."""
    if os.environ.get("ANOMALIB_COPS_AUTOLOAD", "1") != "0" and _Finder not in sys.meta_path:
        sys.meta_path.insert(0, _Finder)
