"""BatchNorm, ReLU and pooling in one pass: the compiled kernel does what PyTorch's operators do."""

import ctypes
import os
import subprocess

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mosaic.fl.fast import fused_norm as kernels
from mosaic.fl.fast.fused_norm import NormReluPool

compiled = pytest.mark.skipif(kernels.library() is None, reason="no C++ compiler here")
SHAPES = [
    (16, 28, True),
    (20, 7, True),
    (5, 9, True),
    (64, 3, False),
    (7, 5, False),
    (16, 1, False),
]


def pair(channels: int, pool: bool, training: bool) -> tuple[NormReluPool, nn.BatchNorm2d]:
    """The same layer twice, with uneven weights (some negative) and statistics."""
    torch.manual_seed(channels)
    fused = NormReluPool(channels, pool)
    reference = nn.BatchNorm2d(channels)
    with torch.no_grad():
        fused.weight.uniform_(-1, 2)
        fused.bias.normal_()
        fused.running_mean.normal_()
        fused.running_var.uniform_(0.5, 2)
    reference.load_state_dict(fused.state_dict())
    return fused.train(training), reference.train(training)


def images(channels: int, size: int, precision=torch.float32) -> torch.Tensor:
    x = torch.randn(6, channels, size, size) * 3 + 1
    return x.to(precision).contiguous(memory_format=torch.channels_last).requires_grad_()


@compiled
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("channels", "size", "pool"), SHAPES)
def test_it_is_batch_norm_then_relu_then_the_maximum(channels, size, pool, training):
    fused, reference = pair(channels, pool, training)
    x = images(channels, size)
    reference_x = x.detach().clone().requires_grad_()
    y = fused(x)
    reference_y = F.relu(reference(reference_x))
    if pool:
        reference_y = F.max_pool2d(reference_y, 2)
    torch.testing.assert_close(y, reference_y)

    grad = torch.randn_like(y)
    y.backward(grad)
    reference_y.backward(grad)
    torch.testing.assert_close(x.grad, reference_x.grad, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(fused.weight.grad, reference.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fused.bias.grad, reference.bias.grad, rtol=1e-4, atol=1e-4)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(getattr(fused, name), getattr(reference, name))


@compiled
def test_in_bfloat16_it_differs_by_one_rounding_from_float32():
    fused, reference = pair(16, True, True)
    x = images(16, 28, torch.bfloat16)
    y = fused(x)
    reference_y = F.max_pool2d(F.relu(reference(x.detach().float())), 2)
    assert y.dtype is torch.bfloat16
    torch.testing.assert_close(y.float(), reference_y, rtol=2**-8, atol=1e-6)
    y.float().square().sum().backward()
    assert x.grad.dtype is torch.bfloat16 and torch.isfinite(x.grad).all()


@compiled
def test_the_gradient_by_hand():
    """One channel, one window (1, 2; 3, 6), mean 0, variance 1.

    Only the 6 gets the gradient, times the scale 2.
    """
    norm = NormReluPool(1, pool=True).eval()
    norm.eps = 0.0
    with torch.no_grad():
        norm.weight.fill_(2.0)
    x = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]], requires_grad=True)
    y = norm(x)
    assert y.item() == 12
    y.backward(torch.full_like(y, 5.0))
    assert x.grad.flatten().tolist() == [0, 0, 0, 10]
    assert norm.weight.grad.item() == 30 and norm.bias.grad.item() == 5


@compiled
def test_the_result_does_not_depend_on_threads():
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            norm, _ = pair(20, True, True)
            x = images(20, 14)
            y = norm(x)
            y.sum().backward()
            results.append((y.detach(), x.grad, norm.weight.grad, norm.running_var))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


@compiled
def test_a_value_that_is_not_a_number_stays_so():
    norm, _ = pair(16, True, False)
    x = images(16, 4).detach()
    x[0, 3, 0, 0] = torch.nan
    assert norm(x)[0, 3, 0, 0].isnan() and norm(x).isnan().sum() == 1


@compiled
def test_at_momentum_zero_statistics_stay_and_only_needed_gradients_are_computed():
    norm, _ = pair(16, True, True)
    norm.momentum = 0.0  # BatchNorm's policy "batch" at test
    before = norm.running_var.clone()
    x = images(16, 8)
    with torch.no_grad():
        norm(x)
    assert torch.equal(norm.running_var, before)
    norm.requires_grad_(False)(x).sum().backward()
    assert x.grad is not None and norm.weight.grad is None


def test_without_a_compiler_pytorchs_operators_do_the_same(monkeypatch):
    fused, reference = pair(20, True, True)
    monkeypatch.setattr(kernels, "library", lambda: None)
    x = images(20, 7)
    expected = F.max_pool2d(F.relu(reference(x)), 2)
    torch.testing.assert_close(fused(x), expected, rtol=0, atol=0)


def test_a_compiler_that_fails_is_no_error(monkeypatch, tmp_path):
    monkeypatch.setenv("CXX", "false")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert kernels.library.__wrapped__() is None
    monkeypatch.setenv("MOSAIC_KERNELS", "torch")
    monkeypatch.setattr(
        subprocess, "run", lambda *_, **__: pytest.fail("nothing is to be compiled")
    )
    assert kernels.library.__wrapped__() is None


@compiled
def test_a_cache_folder_that_cannot_be_written_to_is_no_error(monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert kernels.library.__wrapped__() is not None


@compiled
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system")
@pytest.mark.slow
def test_kernels_load_from_file_systems_that_are_mounted_noexec(monkeypatch, tmp_path):
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "noexec,size=20m", "tmpfs", str(tmp_path)]
    )
    if mounted.returncode != 0:
        pytest.skip("this system lets nobody mount")
    try:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        assert isinstance(kernels.find_library(), ctypes.CDLL)
    finally:
        # lazily: the first attempt to load a library leaves a part of it mapped in this process
        subprocess.run(["umount", "-l", str(tmp_path)], check=True)


def test_where_no_file_can_be_kept_there_are_no_kernels_and_the_reason_is_known(
    monkeypatch, tmp_path
):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    monkeypatch.setenv("CXX", "true")  # a compiler that says yes and makes nothing
    assert "Not a directory" in kernels.find_library()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert "true fails and says: nothing" in kernels.find_library()
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "no C++ compiler" in kernels.find_library()


@compiled
def test_a_damaged_compiled_file_is_compiled_again(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "sound"))
    kernels.find_library()
    [sound] = (tmp_path / "sound" / "mosaic-bench").iterdir()
    # in another folder: this process has loaded the first
    damaged = tmp_path / "damaged" / "mosaic-bench" / sound.name
    damaged.parent.mkdir(parents=True)
    damaged.write_bytes(b"half")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "damaged"))
    assert isinstance(kernels.find_library(), ctypes.CDLL)
    assert damaged.stat().st_size == sound.stat().st_size
