"""`chexnode receive`, `analyse`, `conclude`, `deliver`: one role alone, beside a ledger and spool that are shared."""

from pathlib import Path

from dicom_node.cli.options import CONFIG, Config


def receive(config: Config = CONFIG) -> None:
    """Take images by C-STORE, and nothing else.

    For a site that spreads the roles over hosts with a shared PostgreSQL ledger; `chexnode serve` runs all of them.
    """
    _run("receive", config)


def analyse(config: Config = CONFIG) -> None:
    """Read the images that were received, and nothing else; on the host with the GPU."""
    _run("analyse", config)


def conclude(config: Config = CONFIG) -> None:
    """Decide when a study is complete and where its results go, and nothing else."""
    _run("conclude", config)


def deliver(config: Config = CONFIG) -> None:
    """Send results to their destinations, and nothing else."""
    _run("deliver", config)


def _run(role: str, config: Path) -> None:
    from dicom_node.app import run_role
    from dicom_node.config import Role

    run_role(Role(role), config)
