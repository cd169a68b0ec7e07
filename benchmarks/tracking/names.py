"""The names of trackers, and whether they are installed: checked before anything is imported."""

from importlib.util import find_spec

from mosaic.fl.errors import InputError, did_you_mean

PACKAGES = {"mlflow": "mlflow-skinny", "tensorboard": "tensorboard", "wandb": "wandb"}
"""The package that each tracker needs, which is also the name of an extra."""


def check_tracker(given: str, option: str = "--track") -> tuple[str, str]:
    """Check what the user gave for a tracker.

    Args:
        given: ``mlflow[:URI]``, ``tensorboard[:DIR]`` or ``wandb``.
        option: how errors call it.

    Returns:
        The tracker's name and what follows it, or "".

    Raises:
        InputError: there is no such tracker, it takes no place, or its package is missing.
    """
    name, colon, place = given.partition(":")
    if name not in PACKAGES:
        raise did_you_mean(f"tracker of {option}", name, PACKAGES)
    if colon and (not place or name == "wandb"):
        raise InputError(
            f"{option} is {given!r}; possible: mlflow, mlflow:URI, tensorboard, tensorboard:DIR "
            "or wandb, whose project and account are the variables WANDB_PROJECT and WANDB_ENTITY."
        )
    if find_spec(name) is None:
        raise InputError(
            f"{option} {name} needs a package that is not installed: pip install {PACKAGES[name]}"
        )
    return name, place
