"""A worker in a process of its own: claims jobs until none is left, and prints the id of each that it finished."""

import sys
import time

from dicom_node.ledger import Ledger, jobs


def main(url: str, owner: str) -> None:
    ledger = Ledger.open(url)
    while True:
        with ledger.transaction() as tx:
            claims = jobs.claim(tx, owner=owner, now=time.time(), lease=60.0, limit=3)
        if not claims:
            break
        for claim in claims:
            with ledger.transaction() as tx:
                jobs.finish_done(tx, claim, now=time.time(), score=0.5, findings=[], results=[])
            print(claim.job_id, flush=True)
    ledger.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
