"""The names of this package's data sets, known without PyTorch, whose import takes seconds."""

BUILT_IN = (
    "digits",
    "mnist",
    "fashion_mnist",
    "svhn",
    "cifar10",
    "cifar100",
    "tiny_imagenet",
    "food101",
)
