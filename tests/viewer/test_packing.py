import numpy as np
import pytest
import torch
from reference.viewer_packing import unpack

from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.viewer import pack_field


def random_field(
    *,
    num_gaussians: int = 13,
    num_times: int = 3,
    degree: int = 1,
    scale_space: str = "log",
    motion: float = 0.3,
) -> DeformableGaussianField:
    generator = torch.Generator().manual_seed(3)

    def normal(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    canonical = Gaussians(
        normal(num_gaussians, 3),
        normal(num_gaussians, 4),
        0.05 + 0.2 * torch.rand(num_gaussians, 3, generator=generator),
        0.1 + 0.9 * torch.rand(num_gaussians, generator=generator),
        normal(num_gaussians, (degree + 1) ** 2, 3),
    )
    identity = torch.tensor([1.0, 0.0, 0.0, 0.0])
    return DeformableGaussianField(
        canonical,
        torch.linspace(0.0, 1.0, num_times),
        motion * normal(num_times, num_gaussians, 3),
        identity + motion * normal(num_times, num_gaussians, 4),
        0.1 * motion * normal(num_times, num_gaussians, 3),
        scale_space=scale_space,
    )


def hamilton(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    a, b, c, d = p.T
    e, f, g, h = q.T
    return np.stack(
        [
            a * e - b * f - c * g - d * h,
            a * f + b * e + c * h - d * g,
            a * g - b * h + c * e + d * f,
            a * h + b * g - c * f + d * e,
        ],
        axis=1,
    )


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_unpacked_field_is_the_field_at_every_stored_time(scale_space):
    field = random_field(scale_space=scale_space)
    arrays = unpack(*pack_field(field))
    for index, time in enumerate(field.times.tolist()):
        expected = field.at(time)
        motion = arrays["motion"][index]
        # Everything moves, so the order is kept. Displacements are stored in steps of 2% of a small scale.
        np.testing.assert_allclose(arrays["means"] + motion[:, :3], expected.means, atol=0.01 * 0.25)
        quaternions = hamilton(arrays["quaternions"], motion[:, 3:7] + [1, 0, 0, 0])
        quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
        cosine = np.abs((quaternions * expected.quaternions.numpy()).sum(1))
        np.testing.assert_allclose(cosine, 1.0, atol=1e-6)  # an angle of 0.0014 rad
        scales = np.exp(arrays["scales"])
        scales = scales * np.exp(motion[:, 7:]) if scale_space == "log" else scales + motion[:, 7:]
        np.testing.assert_allclose(scales, expected.scales, rtol=2e-3)
    np.testing.assert_allclose(arrays["opacities"][:, 0], field.canonical.opacities, atol=1 / 65535)
    harmonics = arrays["harmonics"].reshape(13, 4, 3)
    np.testing.assert_allclose(harmonics, field.canonical.harmonics, atol=1e-4)  # a range of 6 in 65535 steps


def test_rotations_keep_their_sign_over_time():
    field = random_field(num_times=5)
    flipped = field.delta_quaternions * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])[:, None, None]
    other = DeformableGaussianField(
        field.canonical, field.times, field.delta_means, flipped, field.delta_scales, scale_space="log"
    )
    first, second = unpack(*pack_field(field))["motion"], unpack(*pack_field(other))["motion"]
    quaternions = second[..., 3:7] + [1, 0, 0, 0]
    assert ((quaternions[1:] * quaternions[:-1]).sum(-1) > -1e-3).all()
    np.testing.assert_allclose(first, second, atol=2e-4)  # one step of a quaternion is 1/8192


def test_gaussians_that_stay_are_stored_without_motion_and_after_the_others():
    field = random_field(num_gaussians=7)
    still = torch.tensor([0, 2, 3])
    for deltas in (field.delta_means, field.delta_quaternions, field.delta_scales):
        deltas[:, still] = deltas[:1, still]  # deformed, but the same at every time
    header, payload = pack_field(field)
    assert header["moving"] == 4
    order = [1, 4, 5, 6, 0, 2, 3]
    start = field.at(0.0)
    np.testing.assert_allclose(unpack(header, payload)["means"], start.means[order], atol=1e-7)


def test_motion_below_half_a_step_costs_nothing():
    assert pack_field(random_field(motion=1e-6))[0]["moving"] == 0
    assert pack_field(random_field(motion=1e-2))[0]["moving"] == 13


def test_far_outlier_only_coarsens_the_step():
    field = random_field()
    field.delta_means[2, 5] = torch.tensor([1000.0, 0.0, 0.0])
    header, payload = pack_field(field)
    arrays = unpack(header, payload)
    expected = field.at(1.0).means
    assert header["motionSteps"][0] == pytest.approx(1000 / 32767, rel=1e-2)
    np.testing.assert_allclose(
        arrays["means"] + arrays["motion"][2, :, :3], expected, atol=0.51 * 1001 / 32767
    )


def test_invisible_gaussians_and_high_degrees_are_left_out():
    field = random_field(degree=4, num_gaussians=11)
    field.canonical.opacities[3] = 0.003
    header, payload = pack_field(field)
    assert (header["count"], header["degree"]) == (10, 3)
    assert unpack(header, payload)["harmonics"].shape == (10, 48)


def test_one_stored_time_has_no_motion():
    header, payload = pack_field(random_field(num_times=1))
    assert header["moving"] == 0
    assert unpack(header, payload)["motion"].shape == (1, 13, 10)


def test_refuses_batches_and_empty_fields():
    field = random_field()
    batch = DeformableGaussianField(
        Gaussians(
            *(
                getattr(field.canonical, name)[None]
                for name in ("means", "quaternions", "scales", "opacities", "harmonics")
            )
        ),
        field.times,
        field.delta_means[None],
        field.delta_quaternions[None],
        field.delta_scales[None],
    )
    with pytest.raises(ValueError, match="batch"):
        pack_field(batch)
    field.canonical.opacities.zero_()
    with pytest.raises(ValueError, match="1/255"):
        pack_field(field)
    field.canonical.means[0, 0] = torch.nan
    with pytest.raises(ValueError, match="means"):
        pack_field(field)
