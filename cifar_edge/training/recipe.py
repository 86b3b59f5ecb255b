"""Training recipes: the choices of a run, as declarations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from cifar_edge.errors import UsageError
from cifar_edge.photos.decode import FIT, check_fit
from cifar_edge.training.augment import AUGMENTATIONS

OPTIMIZERS = {
    "sgd": (0.1, 5e-4),
    "adam": (2e-3, 0.0),
    "adamw": (2e-3, 0.05),
    "nadam": (2e-3, 0.0),
    "rmsprop": (1e-3, 0.0),
    "lion": (3e-4, 0.5),
    "muon": (0.03, 0.0),
}
"""Keras' optimizers, and Muon for convolutions, each with a suitable peak learning rate and weight decay. SGD has
Nesterov momentum 0.9; Muon (`training/muon.py`) has 0.8, and AdamW at a tenth of its rate for all but the kernels of
convolutions."""

SCHEDULES = ("constant", "cosine", "one-cycle", "linear", "trapezoid")
"""`cosine` falls from the peak to zero (Loshchilov and Hutter, 2017); `one-cycle` rises to it first,
over a fifth of the steps (after Smith and Topin, 2018); `linear` rises over a twentieth and falls in a straight line;
`trapezoid` stays at the peak in between, and falls over the last two fifths (Hägele et al., *Scaling Laws Beyond Fixed
Training Durations*, 2024)."""

PRECISIONS = ("float32", "mixed_bfloat16")
"""Keras' dtype policies (Kalamkar et al., *A Study of BFLOAT16 for Deep Learning Training*, 2019). `mixed_bfloat16`
saves time where there are instructions for it (AVX-512 BF16, AMX, a GPU's); elsewhere it takes more."""


@dataclass(frozen=True)
class Recipe:
    """A training's choices. With the data, they decide its result.

    Attributes:
        model: name of the network.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: its peak.
        schedule: one of `SCHEDULES`.
        weight_decay: decoupled, as a fraction of the learning rate.
        epochs: passes over the training images.
        batch_size: images a step.
        augment: one of `AUGMENTATIONS`.
        label_smoothing: share of the labels' weight that is spread over all classes (Szegedy et al., 2016);
            without effect if there is a teacher.
        cycle: epochs after which the framed images are used again, so that a slow teacher has already answered; they
            are mirrored at random, reordered and damaged anew. 0: never. Without effect if there is no teacher.
        teacher: a model of CIFAR-10, a name or a `.tflite` file. The network learns its answers for the images, framed
            but not yet damaged, instead of labels. "": none. See `Teacher`.
        precision: one of `PRECISIONS`, for the layers' computations; weights and the finished model are float32.
        seed: of the initial weights, the order of images, augmentation and dropout.
    """

    model: str
    optimizer: str = "adam"
    learning_rate: float = OPTIMIZERS["adam"][0]
    schedule: str = "one-cycle"
    weight_decay: float = OPTIMIZERS["adam"][1]
    epochs: int = 20
    batch_size: int = 128
    augment: str = "none"
    label_smoothing: float = 0.0
    cycle: int = 0
    teacher: str = ""
    precision: str = "float32"
    seed: int = 0


RECIPES = {
    recipe.model: recipe
    for recipe in (
        Recipe("ann", learning_rate=5e-4),
        Recipe("cnn", augment="standard"),
        Recipe("resnet8", "sgd", learning_rate=0.2, weight_decay=2e-3, epochs=100, augment="standard"),
        Recipe(
            "quick", "sgd", 0.3, weight_decay=2e-3, epochs=24, batch_size=256, augment="standard", label_smoothing=0.1
        ),
        Recipe(
            "nano",
            "muon",
            0.03,
            "linear",
            weight_decay=0.0,
            epochs=240,
            batch_size=256,
            augment="robust",
            cycle=20,  # twelve times
            teacher="small-float32",  # int8 would round small probabilities to zero
        ),
        Recipe(
            "small",
            "muon",
            0.03,
            "linear",
            weight_decay=0.0,
            epochs=150,
            batch_size=256,
            augment="robust",
            label_smoothing=0.05,  # for the first one, which has no teacher
            cycle=15,  # ten times
            teacher="small-float32",  # the shipped one (Furlanello et al., *Born-Again Neural Networks*, 2018)
        ),
    )
}


@dataclass(frozen=True)
class PhotoRecipe:
    """A training's choices for your own classes. With the photos, they decide its result.

    Attributes:
        backbone: one of `BACKBONES`.
        image_size: height and width of the network's images, in pixels.
        alpha: width of `mobilenet_v2`, as a share of the usual one.
        weights: file with ImageNet's weights of `mobilenet_v2`; "": Keras fetches them.
        start: folder of the run whose network is the backbone; "": none.
        fit: how a photo becomes a square, see `photos.decode.load`.
        mirror: whether a mirrored photo shows the same class.
        epochs: passes over the training photos for fine-tuning all layers; 0: the last layer only.
        learning_rate: its peak; it falls to zero as a cosine.
        batch_size: photos a step.
        seed: of the split, the order of photos, augmentation and random weights.
    """

    backbone: str
    image_size: int
    alpha: float = 1.0
    weights: str = ""
    start: str = ""
    fit: str = FIT
    mirror: bool = True
    epochs: int = 8
    learning_rate: float = 3e-4
    batch_size: int = 16
    seed: int = 0


BACKBONES = {
    recipe.backbone: recipe
    for recipe in (
        PhotoRecipe("lite0", 224),
        PhotoRecipe("mobilenet_v2", 224),
        PhotoRecipe("small", 32, epochs=20),
        PhotoRecipe("nano", 32, epochs=20),
        PhotoRecipe("none", 96, epochs=60, learning_rate=2e-3),
    )
}
"""The recipe of each backbone: EfficientNet-Lite0 and MobileNetV2 have learned ImageNet, `small` and `nano` CIFAR-10,
`none` nothing."""

DEFAULT_BACKBONE = "lite0"

SIZES = {"small": (32, 32), "nano": (32, 32)}
"""The lowest and highest image size of backbones that have not all of them."""

ALPHAS = (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)
"""Widths of MobileNetV2 that have weights."""

MOST_EPOCHS = 9999  # checkpoints have names of four digits

RANGES = {
    "learning_rate": (1e-12, 1e6),
    "weight_decay": (0, 1e6),
    "epochs": (0, MOST_EPOCHS),
    "image_size": (32, 320),
    "batch_size": (1, 50_000),
    "label_smoothing": (0, 1),
    "cycle": (0, 9999),
    "seed": (0, 2**32 - 1),
}
"""The lowest and the highest value of each number."""

DEFAULT = "quick"
"""The default network."""


def recipe_for(model: str, **changes: str | int | float | None) -> Recipe:
    """Return the network's default recipe with `changes`; those that are None do not count.

    With another optimizer than the recipe's come that optimizer's own learning rate and weight decay.

    Raises:
        UsageError: an unknown name, or a number out of range.
    """
    _one_of("model", model, RECIPES)
    recipe = RECIPES[model]
    given = {name: value for name, value in changes.items() if value is not None}
    optimizer = str(given.get("optimizer", recipe.optimizer))
    _one_of("optimizer", optimizer, OPTIMIZERS)
    if optimizer != recipe.optimizer:
        learning_rate, weight_decay = OPTIMIZERS[optimizer]
        recipe = replace(recipe, learning_rate=learning_rate, weight_decay=weight_decay)
    recipe = replace(recipe, **given)  # type: ignore[arg-type] # names and types are those of the fields
    _one_of("schedule", recipe.schedule, SCHEDULES)
    _one_of("augment", recipe.augment, AUGMENTATIONS)
    _one_of("precision", recipe.precision, PRECISIONS)
    _check_ranges(recipe, RANGES | {"epochs": (1, MOST_EPOCHS)})
    return recipe


def photo_recipe_for(backbone: str, **changes: str | int | float | None) -> PhotoRecipe:
    """Return a backbone's default recipe with `changes`; those that are None do not count.

    Raises:
        UsageError: an unknown backbone, a number out of range, or an option that the backbone does not have.
    """
    _one_of("backbone", backbone, BACKBONES)
    given = {name: value for name, value in changes.items() if value is not None}
    recipe = replace(BACKBONES[backbone], **given)  # type: ignore[arg-type] # names and types are those of the fields
    _check_ranges(recipe, RANGES)
    check_fit(recipe.fit)
    lowest, highest = SIZES.get(backbone, RANGES["image_size"])
    if not recipe.start and not lowest <= recipe.image_size <= highest:
        raise UsageError(f"image-size {recipe.image_size}: backbone {backbone} takes {lowest:g} pixels only")
    if recipe.alpha not in (ALPHAS if backbone == "mobilenet_v2" else (1.0,)):
        widths = ", ".join(map(str, ALPHAS))
        raise UsageError(f"alpha {recipe.alpha:g}: only mobilenet_v2 has widths; give one of {widths}")
    if recipe.weights and backbone != "mobilenet_v2":
        raise UsageError(f"weights {recipe.weights}: only mobilenet_v2 takes a file; {backbone} has its own weights")
    return recipe


def _check_ranges(recipe: Recipe | PhotoRecipe, ranges: Mapping[str, tuple[float, float]]) -> None:
    for name, (lowest, highest) in ranges.items():
        value = getattr(recipe, name, lowest)  # only one of the two has it
        if not lowest <= value <= highest:
            raise UsageError(f"{name.replace('_', '-')} {value} is out of range: give {lowest:g} to {highest:g}")


def _one_of(what: str, name: str, known: Iterable[str]) -> None:
    names = list(known)
    if name not in names:
        raise UsageError(f"unknown {what} {name!r}: choose one of {', '.join(names)}")
