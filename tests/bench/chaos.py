"""Nodes, coordinators and links die at random under load: what was sent, stored, lost, doubled.

    python tests/bench/chaos.py --rounds 100 [--seed N] [--curve]

Lost and doubled must be 0. The links are cut as root only (network namespaces).
"""

from __future__ import annotations

import argparse
import secrets
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from chaos_story import play


def _tell(text: str) -> None:
    print(text, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--curve", action="store_true", help="the cluster has `security: curve`")
    arguments = parser.parse_args()
    seed = secrets.randbelow(2**32) if arguments.seed is None else arguments.seed
    print(f"seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        outcome = play(
            Path(folder), arguments.rounds, seed, lambda text: print(text, flush=True), curve=arguments.curve
        )
    print(f"sent {outcome.sent}, stored {outcome.stored}, lost {outcome.lost}, doubled {outcome.doubled}, ", end="")
    print(f"out of order {outcome.disordered}; {outcome.terms} terms")
    return 0 if outcome.right else 1


if __name__ == "__main__":
    sys.exit(main())
