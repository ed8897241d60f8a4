"""Films as the node sees them, decoded once, whatever happens in between."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dicom_node.analyse.parse import parse_header, read_film
from model.preprocess import network_input, resize, standardise
from tests.datasets import chest, file_bytes, film
from tests.training.vindr_set import kaggle, physionet
from training.data.store import FilmStore, identity
from training.data.vindr import read_vindr
from training.datalist import DataError, Example, Status
from training.dataset import cached, open_film, open_picture

#: of ../shared/data/dicom, those with one greyscale frame
REAL = (
    "siim_cr_pa_jpegbaseline",
    "nih_dx_implicitle_8bit",
    "rg1_chest_mono1_jpegls_near",
    "cr_chest_mono1_10bit_440",
    "cr_chest_headless_nopreamble",
)


def as_the_node_sees_it(path: Path) -> np.ndarray:  # type: ignore[type-arg]
    with path.open("rb") as file:
        return read_film(parse_header(file)).pixels


def example(path: Path, name: str = "") -> Example:
    return Example(
        id=name or path.name,
        path=path,
        patient=path.stem,
        width=64,
        view="PA",
        split="train",
        status=Status.NORMAL,
        readers=frozenset({"R1"}),
        regions=(),
    )


def pictures(folder: Path, count: int) -> list[Example]:
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    for number in range(count):
        grey = rng.integers(0, 256, (40, 40), dtype=np.uint8)
        grey[:10] = 0
        Image.fromarray(grey).save(folder / f"{number}.png")
    return [example(folder / f"{number}.png") for number in range(count)]


def test_every_dicom_film_is_the_film_of_the_node(tmp_path: Path) -> None:
    films = {f.id: f for f in read_vindr(physionet(tmp_path))}
    for one in films.values():
        np.testing.assert_array_equal(open_film(one).pixels, as_the_node_sees_it(one.path))
    shown = {name: open_film(one).pixels.astype(int) for name, one in films.items()}
    # compressed or stored inverted, it is the same film; a narrow window is not
    np.testing.assert_array_equal(shown["a1"], shown["t2"])
    np.testing.assert_allclose(shown["b2"], shown["t2"], atol=32)
    assert np.abs(shown["c3"] - shown["t2"]).max() > 10_000
    padded = open_film(films["d4"])
    assert padded.valid is not None
    assert not padded.valid[:, :12].any()


@pytest.mark.data
def test_real_dicom_files_too(data: Path) -> None:
    for name in REAL:
        path = data / "dicom" / f"{name}.dcm"
        np.testing.assert_array_equal(open_film(example(path)).pixels, as_the_node_sees_it(path))


def test_pictures_of_8_and_of_16_bits(tmp_path: Path) -> None:
    twelve = film(40, 48)
    Image.fromarray(twelve).save(tmp_path / "twelve.png")
    Image.fromarray((twelve >> 4).astype(np.uint8)).save(tmp_path / "eight.png")
    deep, shallow = (open_picture(tmp_path / f"{name}.png").pixels for name in ("twelve", "eight"))
    assert (deep.min(), deep.max()) == (0, 65535)
    assert len(np.unique(deep)) == len(np.unique(twelve))
    np.testing.assert_array_equal(shallow, (twelve >> 4) * 257)
    np.testing.assert_allclose(
        standardise(torch.from_numpy(deep.astype(np.float32))[None, None] / 65535),
        standardise(torch.from_numpy(shallow.astype(np.float32))[None, None] / 65535),
        atol=0.05,
    )


def test_what_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / "letter.png").write_bytes(b"dear friend")
    (tmp_path / "letter.dcm").write_bytes(b"dear friend " * 40)
    (tmp_path / "frames.dcm").write_bytes(file_bytes(chest(NumberOfFrames=3)))
    for name, message in (
        ("letter.png", r"letter.png \(film letter.png\) cannot be read"),
        ("letter.dcm", r"letter.dcm \(film letter.dcm\): no_pixels"),
        ("frames.dcm", r"frames.dcm \(film frames.dcm\): multi_frame, the data set has 3 frames"),
        ("absent.png", r"absent.png \(film absent.png\) cannot be read"),
    ):
        with pytest.raises(DataError, match=message):
            open_film(example(tmp_path / name))
        with pytest.raises(DataError, match=message):
            cached([example(tmp_path / name)], 32, tmp_path / "cache")


def test_a_cached_film_is_what_the_node_gives_its_network(tmp_path: Path) -> None:
    films = read_vindr(kaggle(tmp_path / "vindr"))
    stored = cached(films, 64, tmp_path / "cache")
    seen = torch.from_numpy(stored.astype(np.float32))[:, None] / 255
    masks = [None if bool((one > 0).all()) else one > 0 for one in seen]
    node = network_input([open_film(one) for one in films], 64)
    assert sum(mask is not None for mask in masks) == 1
    np.testing.assert_allclose(standardise(seen, masks), node, atol=0.03)


def test_decoded_once_in_any_order_and_by_content(tmp_path: Path) -> None:
    films = pictures(tmp_path / "films", 6)
    first = np.array(cached(films, 32, tmp_path / "cache", workers=3))
    expected = [(resize(open_film(one), 32)[0][0] * 255).round().clamp(1).numpy() for one in films]
    np.testing.assert_array_equal(first, expected)
    assert first.min() == 1
    moved = (tmp_path / "films").rename(tmp_path / "elsewhere")
    index = (tmp_path / "cache" / "films-32.txt").read_bytes()
    again = [example(moved / one.path.name, "renamed") for one in films]
    np.testing.assert_array_equal(cached(again[::-1], 32, tmp_path / "cache"), first[::-1])
    np.testing.assert_array_equal(cached(again[2:4], 32, tmp_path / "cache"), first[2:4])
    assert (tmp_path / "cache" / "films-32.txt").read_bytes() == index
    Image.new("L", (40, 40), 9).save(moved / "3.png")
    changed = cached(again, 32, tmp_path / "cache")
    assert (changed[3] == 9).all()
    np.testing.assert_array_equal(np.delete(changed, 3, 0), np.delete(first, 3, 0))


@pytest.mark.parametrize("killed", ["before the index", "within the index", "within the pixels", "after the index"])
def test_a_writer_that_was_killed_is_gone_on_from(tmp_path: Path, killed: str) -> None:
    films = pictures(tmp_path / "films", 5)
    whole = np.array(cached(films, 32, tmp_path / "whole"))
    folder = tmp_path / "killed"
    cached(films[:3], 32, folder)
    pixels, index = folder / "films-32.u8", folder / "films-32.txt"
    if killed == "before the index":
        pixels.write_bytes(pixels.read_bytes() + bytes(700))
    elif killed == "within the index":
        index.write_text(index.read_text()[:-5])
    elif killed == "within the pixels":
        os.truncate(pixels, 32 * 32 * 2 + 5)
    else:
        os.truncate(index, 0)
    np.testing.assert_array_equal(cached(films, 32, folder), whole)
    assert pixels.stat().st_size == 5 * 32 * 32
    assert len(index.read_text().splitlines()) == 5


def test_an_unreadable_film_keeps_those_before_it(tmp_path: Path) -> None:
    films = pictures(tmp_path / "films", 4)
    good = films[3].path.read_bytes()
    films[3].path.write_bytes(good[:40])
    with pytest.raises(DataError, match=r"3\.png"):
        cached(films, 32, tmp_path / "cache", workers=1)
    assert len(FilmStore(tmp_path / "cache", 32).rows()) == 3
    films[3].path.write_bytes(good)
    assert cached(films, 32, tmp_path / "cache").shape == (4, 32, 32)


def test_the_same_picture_under_two_names_lies_there_once(tmp_path: Path) -> None:
    films = pictures(tmp_path / "films", 2)
    films[1].path.write_bytes(films[0].path.read_bytes())
    both = cached(films, 32, tmp_path / "cache")
    np.testing.assert_array_equal(both[0], both[1])
    assert (tmp_path / "cache" / "films-32.u8").stat().st_size == 32 * 32


def test_two_writers_take_turns(tmp_path: Path) -> None:
    def write(first: int) -> None:
        for number in range(first, 40, 2):
            store = FilmStore(tmp_path, 8)
            with store.writing():
                assert f"film {number}" not in store.rows()
                store.add(f"film {number}", np.full((8, 8), number, np.uint8))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(write, (0, 1)))
    films = FilmStore(tmp_path, 8).films([f"film {number}" for number in range(40)])
    assert films[:, 3, 5].tolist() == list(range(40))
    assert (tmp_path / "films-8.u8").stat().st_size == 40 * 64


def test_no_film_at_all(tmp_path: Path) -> None:
    assert cached([], 32, tmp_path).shape == (0, 32, 32)


def test_identity_sees_the_length_and_both_ends(tmp_path: Path) -> None:
    path = tmp_path / "film"
    seen = set()
    zeros = bytes(299_999)
    for content in (b"a", zeros, zeros + b"\0", b"a" + zeros, zeros + b"a", bytes(70_000) + b"a"):
        path.write_bytes(content)
        seen.add(identity(path))
    assert len(seen) == 6
