"""The `spooflab` command: one function per subcommand, mounted by tyro from its signature."""

import sys
from collections.abc import Callable, Sequence

import tyro
from rich.console import Console
from rich.text import Text

from spooflab.cli.audit import audit
from spooflab.cli.bench import bench
from spooflab.cli.card import card
from spooflab.cli.compare import compare
from spooflab.cli.curate import curate
from spooflab.cli.diffusion import diffusion
from spooflab.cli.doctor import doctor
from spooflab.cli.doctor_loader import doctor_loader
from spooflab.cli.evaluate import evaluate
from spooflab.cli.explain import explain
from spooflab.cli.export import export
from spooflab.cli.export_dataset import export_dataset
from spooflab.cli.fit_device import fit_device
from spooflab.cli.generate import generate
from spooflab.cli.ingest import ingest
from spooflab.cli.interrupts import EXIT_INTERRUPTED
from spooflab.cli.listing import list_
from spooflab.cli.merge import merge
from spooflab.cli.mine import mine
from spooflab.cli.place import local_paths
from spooflab.cli.preview import preview
from spooflab.cli.qa import qa
from spooflab.cli.realism import realism
from spooflab.cli.replay import replay
from spooflab.cli.report import report
from spooflab.cli.score import score
from spooflab.cli.search import search
from spooflab.cli.stats import stats
from spooflab.cli.study import study
from spooflab.cli.train import train
from spooflab.cli.verify import verify
from spooflab.errors import SkipSample, SpooflabError

COMMANDS: dict[str, Callable[..., int]] = {
    "generate": generate,
    "ingest": ingest,
    "verify": verify,
    "stats": stats,
    "qa": qa,
    "card": card,
    "export-dataset": export_dataset,
    "merge": merge,
    "curate": curate,
    "audit": audit,
    "replay": replay,
    "preview": preview,
    "list": list_,
    "train": train,
    "study": study,
    "search": search,
    "report": report,
    "compare": compare,
    "evaluate": evaluate,
    "explain": explain,
    "export": export,
    "score": score,
    "mine": mine,
    "realism": realism,
    "bench": bench,
    "fit-device": fit_device,
    "diffusion": diffusion,
    "doctor": doctor,
    "doctor-loader": doctor_loader,
}
EXIT_USAGE = 2


def main(args: Sequence[str] | None = None) -> None:
    """Run one subcommand and exit with its status: 0 done, 1 partial failure, 2 bad input, 130 interrupted."""
    sys.exit(run(args))


def run(args: Sequence[str] | None = None) -> int:
    """Run one subcommand and return its exit status; errors go to stderr as seen, wanted, next."""
    errors = Console(stderr=True, soft_wrap=True)
    try:
        status: int = tyro.extras.subcommand_cli_from_dict(
            {name: local_paths(command) for name, command in COMMANDS.items()},
            prog="spooflab",
            description="Make, photograph, train on and measure face presentation attacks - for their detection.",
            args=None if args is None else list(args),
        )
        return status
    except SpooflabError as error:
        errors.print(Text.assemble(("error: ", "bold red"), str(error)))
        return EXIT_USAGE
    except SkipSample as skip:
        errors.print(Text.assemble(("cannot be made: ", "bold red"), f"{skip.reason}: {skip.detail}"))
        return EXIT_USAGE
    except KeyboardInterrupt:
        errors.print("interrupted; whatever was committed stays, the same command with --resume goes on")
        return EXIT_INTERRUPTED
