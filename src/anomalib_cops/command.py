"""``anomalib-cops``: anomalib's command line with our models, and our own commands."""

import sys
import warnings


def main() -> None:
    """Run our command that the first argument names, or else anomalib's command line with our models registered."""
    # anomalib's imports warn of each other; none of that is for the user of a command.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(anomalib|timm)\.")
    name, arguments = "".join(sys.argv[1:2]), sys.argv[2:]
    if name == "score":
        # Before anomalib is imported, because scoring with an exported model needs little more than NumPy.
        from anomalib_cops.scoring.command import main as score_main

        sys.exit(score_main(arguments))
    from anomalib.cli.cli import main as anomalib_main

    from anomalib_cops.plugin import register

    register()
    if name == "calibrate":
        from anomalib_cops.host.calibrate_command import main as calibrate_main

        sys.exit(calibrate_main(arguments))
    if name == "sensitivity":
        from anomalib_cops.host.sensitivity_command import main as sensitivity_main

        sys.exit(sensitivity_main(arguments))
    anomalib_main()
