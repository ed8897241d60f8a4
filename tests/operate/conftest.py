"""Receivers and the command line, as the tests of those rooms have them."""

from tests.cli.conftest import run as run
from tests.receive.conftest import empty_ledger as empty_ledger
from tests.receive.conftest import receiver as receiver
from tests.receive.conftest import start as start
