"""Children that serve a module's tests."""

from tests.analyse.conftest import examiner as examiner  # a fixture
