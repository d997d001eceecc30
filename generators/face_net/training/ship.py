"""Pack a fitted network: `python -m spooflab.generators.face_net.training.ship FITTED OUT`."""

import sys
from pathlib import Path

from safetensors.torch import load_file

from spooflab.generators.face_net.network import Network
from spooflab.generators.face_net.weights import pack

LICENCE = "Apache-2.0"


def main(fitted: Path, out: Path) -> None:
    """Write the network of a training folder's `network.safetensors` as the file that the package holds."""
    network = Network()
    network.load_state_dict(load_file(fitted))
    facts = {"licence": LICENCE, "trained_on": "rendered people of spooflab.generators.faces.procedural alone"}
    part = out.with_suffix(".part")
    part.write_bytes(pack(network, facts))
    part.replace(out)
    print(f"{out}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
