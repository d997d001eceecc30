"""The command line, whose generator ends its process at the samples that the environment names.

Workers are started anew and import this file as their main module, so that they crash as well.
"""

import os
import signal
import sys
from pathlib import Path

from spooflab.cli.main import main
from spooflab.generators.lab import Lab
from spooflab.generators.plan import SampleSpec

make = Lab.make


def crashing(self: Lab, spec: SampleSpec):  # type: ignore[no-untyped-def]  # as `make`
    if spec.key in os.environ["CRASHING_KEYS"].split(","):
        with Path(os.environ["CRASHING_LOG"]).open("a") as file:
            file.write(f"{spec.key}\n")
        os.kill(os.getpid(), signal.SIGSEGV)
    return make(self, spec)


Lab.make = crashing  # type: ignore[method-assign]  # the fault

if __name__ == "__main__":
    main(sys.argv[1:])
