"""COCO files: boxes, outlines, crowds, what was looked for, several readers; and what is refused, by its entry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.datasets import chest, file_bytes
from training.data.coco import read_coco
from training.datalist import DataError, Example, Status

Content = dict[str, Any]


def content() -> Content:
    return {
        "categories": [{"id": 3, "name": "Pleural_Thickening"}, {"id": 7, "name": "mass"}, {"id": 8, "name": "Nodule"}],
        "images": [
            {"id": 1, "file_name": "one.png", "width": 200, "height": 100, "patient": "p1", "split": "val", "age": 61},
            {"id": 2, "file_name": "two.png", "width": 200, "height": 100, "reported": ["No Finding"]},
            {"id": 3, "file_name": "deep/three.dcm", "looked_for": ["Nodule"]},
            {"id": 4, "file_name": "four.png", "readers": ["ann", "bob"], "sex": "F", "view": "AP"},
            {"id": 5, "file_name": "five.png"},
        ],
        "annotations": [
            {"id": 11, "image_id": 1, "category_id": 3, "bbox": [20, 10, 40, 30], "iscrowd": 0,
             "segmentation": [[20, 10, 60, 10, 20, 40], [50, 30, 60, 30, 60, 40, 50, 40]]},
            {"id": 12, "image_id": 1, "category_id": 7, "bbox": [100, 50, 50, 50], "segmentation": []},
            {"id": 13, "image_id": 4, "category_id": 8, "bbox": [20, 10, 40, 40], "reader": "ann"},
            {"id": 14, "image_id": 4, "category_id": 8, "bbox": [24, 10, 40, 40], "reader": "bob"},
            {"id": 15, "image_id": 4, "category_id": 3, "bbox": [120, 10, 40, 40], "reader": "bob",
             "segmentation": {"counts": [7, 9], "size": [100, 200]}},
            {"id": 16, "image_id": 5, "category_id": 8, "bbox": [0, 0, 200, 100], "iscrowd": 1},
        ],
    }  # fmt: skip


def written(folder: Path, changed: Content | None = None) -> tuple[Path, Path]:
    images = folder / "images"
    (images / "deep").mkdir(parents=True)
    for grey, name in enumerate(("one", "two", "four", "five")):
        Image.new("L", (200, 100), grey).save(images / f"{name}.png")
    header = {"PatientID": "P-9", "PatientAge": "044Y", "PatientSex": "M", "ViewPosition": "AP"}
    (images / "deep" / "three.dcm").write_bytes(file_bytes(chest(64, 48, **header)))
    file = folder / "coco.json"
    file.write_text(json.dumps(content() if changed is None else changed))
    return file, images


def by_id(examples: list[Example]) -> dict[str, Example]:
    return {example.id: example for example in examples}


def test_all_that_a_file_can_say(tmp_path: Path) -> None:
    examples = by_id(read_coco(*written(tmp_path)))
    one = examples["one.png"]
    assert (one.patient, one.split, one.age, one.width, one.status) == ("p1", "val", 61, 200, Status.LOCALISED)
    assert [finding.box for finding in one.findings] == [(0.1, 0.1, 0.3, 0.4), (0.5, 0.5, 0.75, 1.0)]
    assert [finding.labels for finding in one.findings] == [{"Pleural Thickening"}, {"Mass"}]
    triangle, square, bare = one.regions
    assert triangle.polygon == ((0.1, 0.1), (0.3, 0.1), (0.1, 0.4))
    assert square.box == (0.25, 0.3, 0.3, 0.4)
    assert bare.polygon is None
    four = examples["four.png"]
    assert (four.sex, four.view, four.readers) == ("F", "AP", {"ann", "bob"})
    assert [(f.agreement, f.labels) for f in four.findings] == [(1.0, {"Nodule"}), (0.5, {"Pleural Thickening"})]
    assert four.regions[2].polygon is None


def test_no_annotation_is_normal_only_as_far_as_somebody_looked(tmp_path: Path) -> None:
    examples = by_id(read_coco(*written(tmp_path)))
    assert examples["two.png"].status is Status.NORMAL
    assert examples["two.png"].looked_for is None
    assert examples["two.png"].fully_read
    three = examples["deep/three.dcm"]
    assert three.status is Status.PARTLY_NORMAL
    assert three.looked_for == {"Nodule"}
    assert not three.fully_read
    crowd = examples["five.png"]
    assert crowd.status is Status.UNLOCALISED
    assert crowd.findings == ()


def test_a_dicom_header_is_read_too(tmp_path: Path) -> None:
    three = by_id(read_coco(*written(tmp_path)))["deep/three.dcm"]
    assert (three.width, three.age, three.sex, three.view) == (48, 44, "M", "AP")
    assert "P-9" not in three.patient


def test_absent_films(tmp_path: Path) -> None:
    file, images = written(tmp_path)
    (images / "two.png").unlink()
    (images / "four.png").unlink()
    with pytest.raises(DataError, match=r"2 of 5 films .* the first is 2 \(two.png\)"):
        read_coco(file, images)
    assert set(by_id(read_coco(file, images, skip_absent=True))) == {"one.png", "deep/three.dcm", "five.png"}


def changing(*keys: str | int, to: object = None) -> Callable[[Content], None]:
    def change(at: Any) -> None:
        for key in keys[:-1]:
            at = at[key]
        if to is None:
            del at[keys[-1]]
        else:
            at[keys[-1]] = to

    return change


WRONG: dict[str, tuple[Callable[[Content], None], str]] = {
    "no categories": (changing("categories"), "it has no list 'categories'"),
    "a category without a name": (changing("categories", 1, "name"), "category 1 .*needs an id and a name"),
    "an image without a name": (
        changing("images", 1, "file_name"),
        r"image 2 \(None\): it needs an id and a file_name",
    ),
    "an id twice": (changing("images", 1, "id", to=1), "image 1 is listed twice"),
    "a file twice": (changing("images", 1, "file_name", to="one.png"), "one.png is listed by 2 images"),
    "no such image": (changing("annotations", 1, "image_id", to=77), "annotation 12: there is no image 77"),
    "no such category": (changing("annotations", 1, "category_id", to=77), "annotation 12: there is no category 77"),
    "no box": (changing("annotations", 1, "bbox"), r"image 1 \(one.png\): annotation 12: 'bbox' is missing"),
    "a box outside": (
        changing("annotations", 1, "bbox", to=[180, 50, 30, 10]),
        r"image 1 \(one.png\): annotation 12: the box 180, 50, 210, 60 is not inside the picture of 200 x 100",
    ),
    "a box without area": (changing("annotations", 1, "bbox", to=[10, 10, 0, 5]), "annotation 12: .* has no area"),
    "three corners": (changing("annotations", 1, "bbox", to=[10, 10, 5]), r"image 1 .*annotation 12"),
    "a line as outline": (
        changing("annotations", 0, "segmentation", to=[[1, 2, 3, 4]]),
        "annotation 11: an outline needs three points",
    ),
    "another size": (
        changing("images", 0, "width", to=400),
        "said to be 400 x 100 pixels, and the picture is 200 x 100",
    ),
    "a reader who did not look": (
        changing("annotations", 2, "reader", to="eve"),
        "annotation 13: reader 'eve' is none of the image's readers, ann, bob",
    ),
    "a kind that is no category": (
        changing("images", 2, "looked_for", to=["Noodle"]),
        "looked_for names 'Noodle', which is no category",
    ),
    "an unknown split": (changing("images", 0, "split", to="validation"), "split is 'validation': use one of train"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_named(what: str, tmp_path: Path) -> None:
    damage, message = WRONG[what]
    changed = content()
    damage(changed)
    file, images = written(tmp_path, changed)
    with pytest.raises(DataError, match=message) as told:
        read_coco(file, images)
    assert "coco.json" in str(told.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    file, images = written(tmp_path)
    with pytest.raises(DataError, match="nowhere is no folder"):
        read_coco(file, tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"absent.json cannot be read"):
        read_coco(tmp_path / "absent.json", images)
    (images / "one.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"image 1 \(one.png\): .*one.png cannot be read"):
        read_coco(file, images)
    file.write_text("[1, 2]")
    with pytest.raises(DataError, match="is no COCO file"):
        read_coco(file, images)
    file.write_text("{")
    with pytest.raises(DataError, match="is no JSON"):
        read_coco(file, images)
