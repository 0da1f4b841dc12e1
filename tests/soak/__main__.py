"""``python -m tests.soak``: the kill campaign from the command line."""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.soak.campaign import Campaign
from tests.soak.relay import endInOrder
from tests.soak.settings import Settings


def main() -> int:
    """Run a campaign, print its report, tell its result by the exit status."""
    endInOrder()
    arguments = _arguments()
    settings = Settings(
        seed=arguments.seed,
        kills=arguments.kills,
        seconds=arguments.seconds,
        groups=arguments.groups,
        masters=arguments.masters,
        shards=arguments.shards,
        ackMode=arguments.ack_mode,
        journal=not arguments.no_journal,
        rate=arguments.rate,
        pace=arguments.pace,
    )
    print(f"seed {settings.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="mm2ss-soak-"))
    campaign = Campaign(settings, folder / "relay")
    report = asyncio.run(campaign.run())
    print(report.table())
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(report.json(), indent=1) + "\n", "utf-8")
    if report.good and not arguments.keep:
        shutil.rmtree(folder)
    else:
        campaign.trace.write(folder / "trace.txt")
        print(f"logs, state and trace: {folder}")
    return 0 if report.good else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    add = parser.add_argument
    add("--kills", type=int, default=300, help="end after so many kills (%(default)s)")
    add("--seconds", type=float, default=0, help="end after so many seconds; 0: when killed enough")
    add("--seed", type=int, default=random.randrange(10**9), help="of all that is left to chance")
    add("--groups", type=int, default=1, help="RTUs (%(default)s)")
    add("--masters", type=int, default=3, help="masters of each RTU (%(default)s)")
    add("--shards", type=int, default=1, help="processes of the relay at most (%(default)s)")
    add("--rate", type=float, default=150, help="events a second of each RTU (%(default)s)")
    add("--pace", type=float, default=0.6, help="multiplies all pauses (%(default)s)")
    modes = ("through", "immediate")
    add("--ack-mode", choices=modes, default=modes[0], help="(%(default)s)")
    add("--no-journal", action="store_true", help="through, but nothing on disk: may lose events")
    add("--json", help="write the report into this file, too")
    add("--keep", action="store_true", help="keep logs, state and trace although all is good")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
