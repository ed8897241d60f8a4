"""The tables of the model card, each by one command: `python -m training.tables NAME --help`."""
