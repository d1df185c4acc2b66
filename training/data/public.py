"""The public sets that training knows by name, and their download by ``keras.datasets``."""

from __future__ import annotations

from app.types import InputSpec
from training.data.arrays import NamedArray, make_split
from training.data.dataset import DataError, SourceData, Wanted

CIFAR10_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
FASHION_MNIST_CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

PUBLIC_CLASSES = {"cifar10": CIFAR10_CLASSES, "fashion_mnist": FASHION_MNIST_CLASSES}
INPUT_SPECS = {
    "cifar10": InputSpec(height=32, width=32, channels=3),
    "fashion_mnist": InputSpec(height=28, width=28, channels=1),
}


def download(wanted: Wanted) -> SourceData:
    """Read a public set by ``keras.datasets``, which keeps its download.

    Raises:
        DataError: Not public, or the download failed.
    """
    if wanted.classes is None:
        raise DataError(
            f"the data set {wanted.name!r} has no public source; name its place with --data"
        )
    from keras import datasets  # imported here: with a local copy no Keras is needed

    source = {"cifar10": datasets.cifar10, "fashion_mnist": datasets.fashion_mnist}[wanted.name]
    try:
        parts = dict(zip(("train", "test"), source.load_data(), strict=True))
    except Exception as error:
        raise DataError(
            f"keras.datasets could not download {wanted.name}: {error}. "
            "Give a local copy with --data PATH."
        ) from error
    splits = {
        part: make_split(
            NamedArray(f"keras.datasets: images of {part}", images),
            NamedArray(f"keras.datasets: labels of {part}", labels),
            wanted,
        )
        for part, (images, labels) in parts.items()
    }
    return SourceData(wanted.classes, train=splits["train"], test=splits["test"])
