"""What a network for your own classes learns from: views of your photos, and of things that are none of the classes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_edge.data import CLASSES, load_split
from cifar_edge.data.cifar10 import SAMPLE
from cifar_edge.photos.class_folders import RESERVED
from cifar_edge.training.augment_photos import augmented
from cifar_edge.training.photo_set import Photos
from cifar_edge.training.recipe import PhotoRecipe

Array = NDArray[np.float32]
Indices = NDArray[np.int64]

STRANGE = 400
"""Images of CIFAR-10's sample that stand for other things: half are learned from, a quarter fits the threshold, and a
quarter judges it."""

CORNER = (0.16, 0.35)  # of a photo's side; so small a part of it seldom shows what the photo shows


def sizes_for(recipe: PhotoRecipe) -> tuple[int, int]:
    """Return the image sizes that a training needs: the network's, and a larger one to choose frames from."""
    return recipe.image_size, max(recipe.image_size + 8, recipe.image_size * 8 // 7)


class Views:
    """Images by number: the photos first, then images of other things, then a corner of each photo.

    Outlier exposure: the network has an output for what is none of the classes, and learns it from both (after
    Hendrycks et al., *Deep Anomaly Detection with Outlier Exposure*, 2019).

    Attributes:
        classes: the photos', and "unknown" if none of their folders is for photos of none of them.
        unknown: the index of that class, or of the folder's.
        labels: the class of each number, int64.
        strange: numbers of the images of other things.
    """

    def __init__(self, photos: Photos, recipe: PhotoRecipe) -> None:
        self._photos, self._recipe = photos, recipe
        self.classes = self.classes_of(photos)
        self.unknown = len(photos.classes) if photos.unknown is None else photos.unknown
        self._other_things = _other_things(photos.classes, recipe.image_size)
        count, others = len(photos), len(self._other_things)
        self.labels = np.concatenate([photos.labels, np.full(others + count, self.unknown)])
        self.strange = count + np.arange(others)

    @property
    def known(self) -> int:
        """How many classes there are without that of other things."""
        return len(self.classes) - 1

    @staticmethod
    def classes_of(photos: Photos) -> tuple[str, ...]:
        """Return the names of the network's outputs."""
        return (*photos.classes, RESERVED) if photos.unknown is None else photos.classes

    def corners_of(self, photos: Indices) -> Indices:
        """Return the numbers of photos' corners."""
        return len(self._photos) + len(self.strange) + photos

    def images(self, numbers: Indices, view: int = 0) -> NDArray[np.uint8]:
        """Return images, uint8 (n, size, size, 3): view 0 as they are, 1 mirrored, others framed and lit anew."""
        plain, larger = sizes_for(self._recipe)
        first_corner = len(self._photos) + len(self.strange)
        if view == 0 and (numbers < len(self._photos)).all():
            return self._photos.pixels(plain)[numbers]
        mirror, images = self._recipe.mirror, np.empty((len(numbers), plain, plain, 3), np.uint8)
        for place, number in enumerate(numbers.tolist()):
            rng = np.random.default_rng([self._recipe.seed, view, number])
            if number >= first_corner:
                photo = self._photos.pixels(larger)[[number - first_corner]][0]
                images[place] = _corner(photo, plain, np.random.default_rng([self._recipe.seed, number]))
            elif number >= len(self._photos):
                image = self._other_things[number - len(self._photos)]
                images[place] = image if view == 0 else augmented(image, plain, rng, mirror)
            elif view == 0 or (view == 1 and mirror):
                image = self._photos.pixels(plain)[[number]][0]
                images[place] = image[:, ::-1] if view else image
            else:
                images[place] = augmented(self._photos.pixels(larger)[[number]][0], plain, rng, mirror)
        return images

    def batches(self, batches: Sequence[Indices], view: int) -> Iterator[tuple[Indices, Array]]:
        """Yield batches of numbers with their images as float32; the next ones are made meanwhile."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self.images, batches[0], view)
            for number, batch in enumerate(batches):
                images = waiting.result()
                if number + 1 < len(batches):
                    waiting = pool.submit(self.images, batches[number + 1], view)
                yield batch, images.astype(np.float32)


def _corner(photo: NDArray[np.uint8], size: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    side = len(photo) * rng.uniform(*CORNER)
    left, top = rng.choice([0.0, len(photo) - side], 2)
    part = Image.fromarray(photo).resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
    return np.asarray(part)


def _other_things(classes: Sequence[str], size: int) -> NDArray[np.uint8]:
    """Return images of CIFAR-10's sample that show none of the classes, as far as names tell.

    An image of a cat is none of another thing where a class is called "cat with prey".

    Returns:
        uint8, (N, size, size, 3).
    """
    test = load_split("test", SAMPLE)
    named = " ".join(classes).casefold()
    others = [number for number, name in enumerate(CLASSES) if name not in named]
    chosen = np.flatnonzero(np.isin(test.labels, others))[:STRANGE]
    images = [Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC) for image in test.images[chosen]]
    return np.stack([np.asarray(image) for image in images]) if images else np.zeros((0, size, size, 3), np.uint8)
