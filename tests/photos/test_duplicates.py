from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.data import Cifar10
from cifar_edge.photos.decode import load
from cifar_edge.photos.decoded import Images
from cifar_edge.photos.duplicates import THUMBNAIL, Alike, find_alike
from tests.conftest import PHOTOS

ALL = sorted(PHOTOS.glob("*/*.*"))
CAT = PHOTOS / "cat" / "chelsea.jpg"
Change = Callable[[Image.Image], Image.Image]


def encoded(photo: Image.Image, quality: int = 90) -> io.BytesIO:
    file = io.BytesIO()
    photo.convert("RGB").save(file, "JPEG", quality=quality)
    return file


def alike(files: Sequence[object], taken: Sequence[float | None] | None = None) -> Alike:
    size, fit, reduced = THUMBNAIL
    thumbnails = np.array([load(file, size, size, fit, reduced=reduced) for file in files])  # type: ignore[arg-type]
    digests = [str(number) for number in range(len(files))]
    return find_alike(images(thumbnails), digests, taken or [None] * len(files))


def images(pixels: NDArray[np.uint8]) -> Images:
    return Images(pixels, np.arange(len(pixels)))


def cropped(share: float) -> Change:
    return lambda photo: photo.crop(
        (int(share * photo.width), int(share * photo.height), *(int((1 - share) * side) for side in photo.size))
    )


@pytest.mark.parametrize("path", [CAT, PHOTOS / "bird" / "heron.jpg", PHOTOS / "horse" / "nokota.jpg"])
@pytest.mark.parametrize(
    ("change", "quality"),
    [
        (lambda photo: photo, 40),
        (lambda photo: photo.resize((photo.width // 2, photo.height // 2)), 90),
        (lambda photo: photo.resize((photo.width // 3, photo.height // 3), Image.Resampling.BILINEAR), 60),
        (lambda photo: photo.resize((2 * photo.width, 2 * photo.height)), 80),
    ],
)
def test_a_copy_is_the_same_photo_also_re_encoded_and_resized(path: object, change: Change, quality: int) -> None:
    found = alike([*ALL, encoded(change(Image.open(path)), quality)])  # type: ignore[arg-type]
    original = ALL.index(path)  # type: ignore[arg-type]
    assert found.same.tolist() == found.group.tolist() == [*range(len(ALL)), original]


@pytest.mark.parametrize("change", [cropped(0.02), lambda photo: photo.point(lambda value: min(255, int(1.2 * value)))])
def test_a_near_duplicate_is_grouped_but_not_the_same(change: Change) -> None:
    found = alike([*ALL, encoded(change(Image.open(CAT)))])
    assert found.group[-1] == ALL.index(CAT)
    assert len(set(found.group.tolist())) == len(ALL)


def test_different_photos_are_never_taken_for_one(sample: Cifar10) -> None:
    pixels = sample.test.images.repeat(3, axis=1).repeat(3, axis=2)
    found = find_alike(images(pixels), [str(number) for number in range(len(pixels))], [None] * len(pixels))
    assert len(set(found.same.tolist())) == len(pixels)
    assert len(set(found.group.tolist())) >= 0.99 * len(pixels)


def test_the_same_content_is_the_same_whatever_it_shows() -> None:
    white = np.full((3, 96, 96, 3), 255, np.uint8)
    assert find_alike(images(white), ["a", "b", "a"], [None] * 3).same[2] == 0


@pytest.mark.parametrize(("seconds", "together"), [(1, True), (5, True), (6, False), (None, False)])
def test_a_burst_is_grouped_by_time_and_looks(seconds: float | None, together: bool) -> None:
    moved = encoded(Image.open(CAT).crop((60, 30, 451, 300)))
    other = PHOTOS / "dog" / "spaniels.jpg"
    found = alike([CAT, moved, other], [100.0, seconds and 100 + seconds, 100.5])
    assert len(set(found.same.tolist())) == 3
    assert (found.group[0] == found.group[1]) == together
    assert found.group[2] == 2


def test_a_fixed_camera_does_not_make_one_group_of_all() -> None:
    view = np.asarray(Image.open(CAT).resize((96, 96))).astype(np.int16)
    shots = np.repeat(view[None], 40, axis=0)
    for number, shot in enumerate(shots):  # something small lies elsewhere each time
        shot[8 * (number // 8) + 20 :][:8, 8 * (number % 8) + 10 :][:, :8] = (number * 97) % 255, 255 - number * 6, 0
    found = find_alike(images(shots.astype(np.uint8)), [*map(str, range(40))], [None] * 40)
    assert found.fixed_camera
    assert len(set(found.group.tolist())) == len(set(found.same.tolist())) > 30
