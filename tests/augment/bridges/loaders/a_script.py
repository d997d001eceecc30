"""A script that reads a command line when it is imported, as people write them."""

import argparse

argparse.ArgumentParser().parse_args(["--unknown"])
