"""The ballast is laid where there is room, given up when told, and says which; see also receive/test_full_disk.py."""

import stat
from pathlib import Path

from dicom_node.ballast import SIZE, Ballast


def test_it_is_laid_given_up_and_laid_again(tmp_path: Path) -> None:
    ballast, file = Ballast(tmp_path), tmp_path / "ballast"
    assert not ballast.is_dropped, "one that was never laid keeps nobody out"
    assert not ballast.drop()
    assert ballast.lay(beside=0)
    # blocks that are there, not a hole
    assert file.stat().st_blocks * 512 >= SIZE
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert ballast.drop()
    assert (ballast.is_dropped, file.stat().st_blocks, ballast.drop()) == (True, 0, False)
    assert ballast.lay(beside=0)
    assert not ballast.is_dropped


def test_it_is_not_laid_where_that_would_take_what_is_wanted_besides(tmp_path: Path) -> None:
    assert not Ballast(tmp_path).lay(beside=1 << 60)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path / "nowhere")
    assert (ballast.lay(beside=0), ballast.drop_if_low(), ballast.is_dropped) == (False, False, False)
