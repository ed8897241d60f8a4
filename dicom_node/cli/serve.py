"""`chexnode serve`: the whole node."""

from dicom_node.cli.options import CONFIG, Config


def serve(config: Config = CONFIG) -> None:
    """Run the node: receive, analyse, conclude and deliver, until Ctrl-C or SIGTERM.

    It brings the ledger to this version first. Stopping or killing it at any moment loses nothing.
    """
    from dicom_node.supervisor import serve as run

    run(config)
