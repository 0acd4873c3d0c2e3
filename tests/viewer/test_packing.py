import numpy as np
import pytest
import torch
from reference.viewer_packing import unpack

from diff4splat.gaussians import DeformableGaussianField, Gaussians
from diff4splat.viewer import pack_field, packing


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


def turn(vectors: np.ndarray) -> np.ndarray:
    angles = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.concatenate([np.cos(angles / 2), np.sinc(angles / 2 / np.pi) / 2 * vectors], axis=1)


@pytest.mark.parametrize("scale_space", ["log", "linear"])
def test_unpacked_field_is_the_field_at_every_stored_time(scale_space):
    field = random_field(scale_space=scale_space)
    arrays = unpack(*pack_field(field))
    for index, time in enumerate(field.times.tolist()):
        expected = field.at(time)
        motion = arrays["motion"][index]
        # Everything moves, so the order is kept. Displacements are stored in steps of 1/64 of the size.
        sizes = field.at(0.0).scales.log().mean(-1, keepdim=True).exp().numpy()
        assert (np.abs(arrays["means"] + motion[:, :3] - expected.means.numpy()) < 0.6 / 64 * sizes).all()
        quaternions = hamilton(turn(arrays["rotations"]), turn(motion[:, 3:6]))
        cosine = np.abs((quaternions * expected.quaternions.numpy()).sum(1))
        np.testing.assert_allclose(cosine, 1.0, atol=5e-6)  # an angle of 0.006 rad, steps of 1/256 in 3 axes
        np.testing.assert_allclose(
            np.exp(arrays["scales"] + motion[:, 6:]), expected.scales, rtol=0.5 / 128 + 0.5 / 256 + 1e-4
        )
    np.testing.assert_allclose(arrays["opacities"][:, 0], field.canonical.opacities, atol=0.5 / 1024 + 1e-6)
    harmonics = arrays["harmonics"].reshape(13, 4, 3)
    np.testing.assert_allclose(harmonics, field.canonical.harmonics, atol=0.5 / 256 + 1e-6)


def test_signs_of_quaternions_are_of_no_account():
    field = random_field(num_times=5)
    flipped = field.delta_quaternions * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0])[:, None, None]
    other = DeformableGaussianField(
        field.canonical, field.times, field.delta_means, flipped, field.delta_scales, scale_space="log"
    )
    assert pack_field(field) == pack_field(other)


def test_turns_are_counted_on():
    """Three turns in steps of 120 degrees: the rotation vector grows, where that of each time would jump."""
    field = random_field(num_gaussians=1, num_times=10, motion=0.0)
    angles = torch.linspace(0, 6 * torch.pi, 10)
    field.delta_quaternions[:, 0] = torch.stack([(angles / 2).cos(), *3 * [0 * angles]], -1)
    field.delta_quaternions[:, 0, 2] = (angles / 2).sin()
    motion = unpack(*pack_field(field))["motion"][:, 0, 3:6]
    np.testing.assert_allclose(motion, np.outer(angles, [0, 1, 0]), atol=0.5 / 256 + 1e-5)


def test_smooth_motion_is_predicted_from_two_times_and_jumps_from_one():
    field = random_field(num_gaussians=101, num_times=7)
    assert pack_field(field)[0]["prediction"] == 1
    field.delta_means.copy_(field.times[:, None, None].square() * torch.ones(7, 101, 3))
    field.delta_quaternions.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0]).expand(7, 101, 4))
    field.delta_scales.zero_()
    assert pack_field(field)[0]["prediction"] == 2


def test_motion_is_coarser_where_the_bytes_would_be_too_many(monkeypatch):
    field = random_field(num_gaussians=997, num_times=11)
    fine, exact = pack_field(field)
    monkeypatch.setattr(packing, "FREE_BYTES", 0)
    monkeypatch.setattr(packing, "BYTES_PER_TIME", 9.0)
    coarse, fewer = pack_field(field)
    factor = coarse["rotationStep"] / fine["rotationStep"]
    assert factor > 2
    assert coarse["stretchStep"] / fine["stretchStep"] == pytest.approx(factor)
    assert len(fewer) < 1.2 * 9.0 * 997 * 11 < len(exact)  # tables of codes are a part of so small a scene
    monkeypatch.setattr(packing, "BYTES_PER_TIME", 0.0)
    _, fewest = pack_field(field)
    assert len(fewest) > 3.5 / 8 * 9 * 10 * 997  # not below 3.5 bits a number


def test_worst_scene_of_the_size_that_is_promised_stays_below_25_mb():
    """100,000 Gaussians at 25 times that jump at random: nothing in it can be predicted."""
    field = random_field(num_gaussians=100_000, num_times=25, degree=0)
    _, payload = pack_field(field)
    page = 100_000  # programs and description
    assert len(payload) * 4 / 3 + page < 25e6


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


def test_far_outlier_coarsens_its_own_step():
    field = random_field()
    field.delta_means[2, 5] = torch.tensor([1000.0, 0.0, 0.0])
    header, payload = pack_field(field)
    arrays = unpack(header, payload)
    expected = field.at(1.0).means
    error = np.abs(arrays["means"] + arrays["motion"][2, :, :3] - expected.numpy())
    assert error[5].max() < 0.6 * 1001 / 32767 * np.exp(1 / 8)
    assert np.delete(error, 5, axis=0).max() < 0.6 / 64 * 0.25  # the others lose nothing


def test_invisible_gaussians_and_high_degrees_are_left_out():
    field = random_field(degree=4, num_gaussians=11)
    field.canonical.opacities[3] = 0.003
    header, payload = pack_field(field)
    assert (header["count"], header["degree"]) == (10, 3)
    assert unpack(header, payload)["harmonics"].shape == (10, 48)


def test_one_stored_time_has_no_motion():
    header, payload = pack_field(random_field(num_times=1))
    assert header["moving"] == 0
    assert unpack(header, payload)["motion"].shape == (1, 13, 9)


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
