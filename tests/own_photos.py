"""Class folders of real photos: images of the sample, as files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from cifar_edge.data import CLASSES, Split


def write_class_folders(folder: Path, images: Split, counts: Mapping[str, int], skip: int = 0) -> Path:
    """Write photos of 48x32 pixels into `folder/CLASS/`, of the CIFAR-10 class whose name the last part begins with.

    The photos of a class are always the same ones, after the first few to `skip`.
    """
    for home, count in counts.items():
        name = Path(home).name
        label = CLASSES.index(name) if name in CLASSES else 0
        (folder / home).mkdir(parents=True, exist_ok=True)
        own = np.flatnonzero(images.labels == label)[skip : skip + count]
        for number, index in enumerate(own, skip):
            photo = Image.fromarray(images.images[index]).resize((48, 32), Image.Resampling.BICUBIC)
            photo.save(folder / home / f"{number:03}.jpg", quality=90)
    return folder
