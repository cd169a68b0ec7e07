"""Image folders of the user's: layout, channels, sizes, and what is said of each mistake."""

import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mosaic.fl.data.datasets import DATASETS, display_name
from mosaic.fl.data.image_folder import read_image_folder
from mosaic.fl.data.loading import load
from mosaic.fl.data.user_data import register_data
from mosaic.fl.errors import InputError

pytestmark = pytest.mark.usefixtures("registry")

CLASSES = ("ant", "bee", "cat")


def picture(path: Path, size: tuple[int, int] = (12, 12), mode: str = "L", seed: int = 0) -> Path:
    """Save a picture of random pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (*reversed(size), 3) if mode == "RGB" else tuple(reversed(size))
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    """Three training pictures and one test picture per class, grey, 12x12."""
    for k, name in enumerate(CLASSES):
        for i in range(3):
            picture(tmp_path / "mine" / "train" / name / f"{i}.png", seed=10 * k + i)
        picture(tmp_path / "mine" / "test" / name / "0.PNG", seed=100 + k)
    return tmp_path / "mine"


def fails(folder: Path, *texts: str) -> None:
    """Registering the folder is an InputError that has all the texts."""
    with pytest.raises(InputError) as caught:
        register_data(folder)
    for text in texts:
        assert text in str(caught.value)


def test_labels_are_the_places_of_the_sorted_class_folders(folder):
    name = register_data(folder)
    train, test = load(name, "train"), load(name, "test")
    assert train.images.shape == (9, 1, 12, 12) and train.images.dtype == torch.uint8
    assert train.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and train.n_classes == 3
    assert sorted(test.labels.tolist()) == [0, 1, 2]
    with Image.open(folder / "train" / "bee" / "1.png") as original:
        assert np.array_equal(train.images[4, 0].numpy(), np.asarray(original))


def test_the_name_is_of_the_content_and_the_label_of_the_folder(folder):
    name = register_data(folder)
    assert name.startswith("user-") and len(name) == len("user-") + 16
    assert display_name(name) == f"mine-{name[5:11]}" == DATASETS[name].label
    assert register_data(str(folder)) == name

    moved = folder.rename(folder.with_name("moved"))
    assert register_data(moved) == name and display_name(name).startswith("mine-")

    picture(moved / "test" / "cat" / "0.PNG", seed=5)
    assert register_data(moved) != name


def test_a_folder_and_a_file_of_the_same_images_are_the_same_data_set(folder, tmp_path):
    splits = read_image_folder(folder)
    arrays = {}
    for split, (images, labels) in splits.items():
        arrays[f"{split}_images"] = images[:, 0]
        arrays[f"{split}_labels"] = labels
    np.savez(tmp_path / "same.npz", **arrays)
    assert register_data(tmp_path / "same.npz") == register_data(folder)


def test_one_picture_in_colour_makes_all_images_rgb(folder):
    picture(folder / "train" / "ant" / "0.jpeg", mode="RGB")
    images, _ = read_image_folder(folder)["train"]
    assert images.shape == (10, 3, 12, 12)
    grey = images[1:]  # in a grey picture the channels are equal
    assert np.array_equal(grey[:, 0], grey[:, 1]) and np.array_equal(grey[:, 0], grey[:, 2])


@pytest.mark.parametrize("mode", ("1", "LA", "RGBA", "P", "CMYK"))
def test_pictures_of_other_modes_are_converted(folder, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    path = folder / "test" / "ant" / f"1.{suffix}"
    Image.new("RGB", (12, 12), (255, 255, 255)).convert(mode).save(path)
    images, _ = read_image_folder(folder)["test"]
    assert images.shape[1] == (1 if mode in ("1", "LA") else 3)
    assert (images[1] == 255).all()


@pytest.mark.parametrize(
    ("size", "result"),
    [
        ((8, 8), 8),  # a square of a size that fits is kept
        ((64, 64), 64),
        ((20, 20), 20),
        ((1, 1), 28),
        ((10, 10), 28),  # not a multiple of 4
        ((100, 100), 64),  # larger than 64
        ((30, 50), 28),  # |30 - 28| = |30 - 32|: the smaller one
        ((50, 31), 32),
        ((300, 40), 32),
        ((300, 49), 64),
    ],
)
def test_pictures_of_one_size_are_kept_or_resized(tmp_path, size, result):
    for split in "train", "test":
        for name in CLASSES:
            picture(tmp_path / split / name / "0.png", size)
    for images, _ in read_image_folder(tmp_path).values():
        assert images.shape[2:] == (result, result)


def test_pictures_of_several_sizes_are_resized_by_the_median_of_their_shorter_sides(folder):
    for file in folder.rglob("*.png"):
        picture(file, (35, 33))
    picture(folder / "train" / "ant" / "0.png", (900, 800))
    images, _ = read_image_folder(folder)["train"]  # nine of 33 or more, three of 12
    assert images.shape == (9, 1, 32, 32)

    with Image.open(folder / "train" / "bee" / "0.png") as original:
        whole = original.resize((32, 32), Image.Resampling.BICUBIC)
    assert np.array_equal(images[3, 0], np.asarray(whole))


def test_the_orientation_of_a_photo_is_applied(folder):
    path = folder / "test" / "ant" / "1.png"
    exif = Image.Exif()
    exif[0x0112] = 3  # the camera was upside down
    picture(path)
    with Image.open(path) as original:
        pixels = np.asarray(original)
        Image.fromarray(pixels).save(path, exif=exif)
    images, _ = read_image_folder(folder)["test"]
    assert np.array_equal(images[1, 0], np.rot90(pixels, 2))


def test_hidden_files_and_notes_are_ignored(folder):
    name = register_data(folder)
    (folder / "train" / ".ipynb_checkpoints").mkdir()
    (folder / "train" / "ant" / ".DS_Store").touch()
    (folder / "train" / "ant" / "notes.txt").touch()
    (folder / "train" / "labels.csv").touch()
    assert register_data(folder) == name


def test_files_of_other_systems_are_ignored(folder):
    name = register_data(folder)
    for path in list(folder.rglob("*")):
        if path.is_dir():
            (path / "Thumbs.db").write_bytes(b"x")
            picture(path / "__MACOSX" / "a" / "._0.png")
        else:
            path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7")
    assert register_data(folder) == name


def test_names_with_spaces_and_other_letters_and_links(folder, tmp_path):
    name = register_data(folder)
    for split in "train", "test":
        (folder / split / "bee").rename(folder / split / "Bücher & 蜂 (2)")
        (folder / split / "ant").rename(tmp_path / f"elsewhere {split}")
        (folder / split / " ant").symlink_to(tmp_path / f"elsewhere {split}")
        for path in (folder / split / "cat").iterdir():
            path.rename(path.with_name(f"ü {path.stem}.PNG"))
    splits = read_image_folder(folder)
    assert splits["train"][1].tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]
    for split in "train", "test":
        (folder / split / "Bücher & 蜂 (2)").rename(folder / split / "bee")
    assert register_data(folder) == name


# Mistakes


def test_links_that_lead_nowhere_or_back(folder):
    link = folder / "train" / "ant" / "9.png"
    for target in folder / "nowhere.png", link:
        link.symlink_to(target)
        fails(folder, f"cannot read the picture {link}")
        link.unlink()
    for split in "train", "test":  # a class must not be left out silently
        (folder / split / "dog").symlink_to(folder / "elsewhere")
    fails(folder, f"{folder / 'train' / 'dog'} is a link that leads nowhere")
    for split in "train", "test":
        (folder / split / "dog").unlink()
    (folder / "train" / "ant" / "up").symlink_to(folder)
    fails(folder, f"{folder / 'train' / 'ant' / 'up'} is a folder inside a class folder")


@pytest.mark.parametrize("suffix", (".png", ".gif"))
def test_an_animation_is_not_taken_for_a_picture(folder, suffix):
    path = folder / "train" / "ant" / "9.png"
    frames = [Image.new("L", (12, 12), grey) for grey in (0, 255)]
    frames[0].save(path.with_suffix(suffix), save_all=True, append_images=frames[1:])
    path.with_suffix(suffix).rename(path)
    fails(folder, f"{path} is an animation of 2 pictures. Save one of them, or remove it")


def test_a_picture_of_a_huge_size(folder):
    path = picture(folder / "train" / "ant" / "9.png")
    content = bytearray(path.read_bytes())
    content[16:24] = (100_000).to_bytes(4, "big") * 2
    content[29:33] = zlib.crc32(content[12:29]).to_bytes(4, "big")
    path.write_bytes(content)
    fails(folder, f"cannot read the picture {path}", "10000000000 pixels", "remove it")


def test_a_folder_one_level_too_high(folder):
    fails(folder.parent, f"{folder.parent / 'train'} is missing", f"Give {folder} instead")


def test_splits_of_other_names(folder):
    (folder / "test").rename(folder / "Val")
    fails(folder, f"in {folder} lie Val, train", "Rename Val to test")


def test_class_folders_that_are_not_split(folder):
    text = "Move some pictures of each class, for example every fifth, to test/<class>"
    fails(folder / "train", f"in {folder / 'train'} lie ant, bee, cat", text)
    (folder / "test").rename(folder.parent / "aside")
    fails(folder, f"in {folder} lie train", text)


def test_an_archive_of_a_folder(tmp_path):
    for name in "mine.zip", "mine.tar.gz":
        (tmp_path / name).touch()
        fails(tmp_path / name, f"{name} is an archive: unpack it, and give its folder")


def test_a_path_that_is_no_data_set(tmp_path):
    fails(tmp_path / "nowhere", "there is no", "nowhere", "Give an image folder or an .npz file")
    (tmp_path / "images.txt").touch()
    fails(tmp_path / "images.txt", "images.txt is neither a folder nor an .npz file")


@pytest.mark.parametrize("split", ("train", "test"))
def test_a_folder_without_one_of_the_splits(folder, split):
    (folder / split).rename(folder / "validation")
    fails(folder, f"{folder / split} is missing", "train/<class>/*.png")


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("test", "train")])
def test_a_class_in_only_one_of_the_splits(folder, split, other):
    picture(folder / split / "dog" / "0.png")
    fails(folder, f"{folder / split} has the class 'dog', but {folder / other} has not")


def test_a_single_class(tmp_path):
    picture(tmp_path / "train" / "ant" / "0.png")
    picture(tmp_path / "test" / "ant" / "0.png")
    fails(tmp_path, f"{tmp_path / 'train'} has 1 class folders; at least 2 are needed")


def test_a_class_without_pictures(folder):
    (folder / "test" / "bee" / "0.PNG").unlink()
    fails(folder, f"{folder / 'test' / 'bee'} has no .png or .jpg", "Add pictures, or remove")


def test_pictures_in_the_wrong_place(folder):
    stray = picture(folder / "train" / "0.png")
    fails(folder, f"{stray} is in no class folder")
    stray.unlink()
    nested = picture(folder / "train" / "ant" / "more" / "0.png").parent
    fails(folder, f"{nested} is a folder inside a class folder", "one level up")


def test_a_picture_of_another_format_is_not_left_out_silently(folder):
    for suffix in ".bmp", ".PPM", ".jfif", ".heic", ".avif":
        other = picture(folder / "train" / "ant" / "9.png").rename(
            folder / "train" / "ant" / f"9{suffix}"
        )
        fails(folder, f"{other} is not a .png or .jpg. Convert it, or remove it")
        other.unlink()


@pytest.mark.parametrize("harm", ("emptied", "garbled", "truncated"))
@pytest.mark.parametrize("file", ("train/bee/1.png", "test/cat/1.jpg"))
def test_a_damaged_picture_is_named(folder, file, harm):
    path = picture(folder / file, (24, 24))
    content = path.read_bytes()
    harmed = {"emptied": b"", "garbled": bytes(500), "truncated": content[: len(content) * 2 // 3]}
    path.write_bytes(harmed[harm])
    fails(folder, f"cannot read the picture {path}", "Replace it, or remove it")


def test_a_picture_of_16_bits(folder):
    path = folder / "train" / "ant" / "1.png"
    Image.fromarray(np.full((12, 12), 40_000, np.uint16)).save(path)
    fails(folder, f"{path} has pixels of the kind 'I;16'", "8 bits per channel")
