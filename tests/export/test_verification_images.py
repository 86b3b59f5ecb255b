from __future__ import annotations

from pathlib import Path

from cifar_edge.data import Cifar10
from cifar_edge.export import calibration
from cifar_edge.export.source import load_source
from cifar_edge.export.verification_images import verification_images_for


def test_a_network_is_not_judged_by_what_it_was_calibrated_with(copy: Path, sample: Cifar10) -> None:
    chosen = calibration.from_training_set(sample.train)
    judged = verification_images_for(load_source(copy), sample, chosen)
    assert len(judged.images) == 1000
    assert not {image.tobytes() for image in judged.images} & {image.tobytes() for image in chosen.images}
    assert (
        len(
            verification_images_for(load_source(copy), sample, calibration.from_training_set(sample.train, 4500)).images
        )
        == 1000
    )
