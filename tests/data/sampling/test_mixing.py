"""Shares of datasets in a batch."""

import pytest
from data.sampling.memory import MemorySource, wall

from diff4splat.data import ClipSampling, mix
from diff4splat.training import Batches

SMALL = ClipSampling(frames=5, height=16, width=16, num_tracks=7)


def source(counts: dict[str, int], start: int = 0) -> MemorySource:
    return MemorySource(
        [wall(f"{key}-{start + n}", dataset=key) for key, count in counts.items() for n in range(count)]
    )


def shares(parts) -> dict[str, float]:
    found: dict[str, float] = {}
    for clips, share in parts:
        key = clips.source.entries[0].dataset
        found[key] = found.get(key, 0.0) + share
    return found


def test_shares_follow_scenes_and_a_temperature_evens_them() -> None:
    there = [source({"spring": 1, "dl3dv": 9})]
    assert shares(mix(there, SMALL)) == {"dl3dv": pytest.approx(0.9), "spring": pytest.approx(0.1)}
    even = shares(mix(there, SMALL, temperature=2.0))
    assert even == {"dl3dv": pytest.approx(3 / 4), "spring": pytest.approx(1 / 4)}, "square roots: 3 to 1"


def test_cameras_of_one_scene_do_not_weigh_more() -> None:
    rig = MemorySource(
        [wall(f"multicamvideo-{n}", dataset="multicamvideo") for n in range(5)], scenes=["one"] * 5
    )
    assert shares(mix([rig, source({"spring": 1})], SMALL)) == {"multicamvideo": 0.5, "spring": 0.5}


def test_sources_of_one_dataset_have_parts_of_its_share() -> None:
    there = [source({"spring": 1, "mine": 2}), source({"spring": 3}, 1)]
    parts = mix(there, SMALL, weights={"spring": 6.0, "mine": 2.0})
    assert [(clips.source.entries[0].uid, share) for clips, share in parts] == [
        ("mine-0", pytest.approx(1 / 4)),
        ("spring-0", pytest.approx(3 / 4 / 4)),
        ("spring-1", pytest.approx(3 / 4 * 3 / 4)),
    ]


def test_the_paper_s_scenes_are_weights_whatever_is_there() -> None:
    there = [source({"stereo4d": 2, "spring": 2, "dynamicreplica": 1})]
    found = shares(mix(there, SMALL, weights="paper"))
    total = 74_000 + 30 + 500
    assert found == {
        "stereo4d": pytest.approx(74_000 / total),
        "spring": pytest.approx(30 / total),
        "dynamicreplica": pytest.approx(500 / total),
    }


def test_batches_take_a_mixture() -> None:
    parts = mix([source({"spring": 1, "dl3dv": 3})], SMALL, seed=3, draws=8)
    batches = Batches(parts, 4, seed=0, needs=["video", "depth", "motion"])
    steps = batches.from_step(0)
    captions = [caption for _ in range(4) for caption in next(steps)[1]]
    steps.close()
    assert sum("spring" in caption for caption in captions) == 4, "a quarter of sixteen"


def test_draws_of_items_differ() -> None:
    one, other = (clips for clips, _ in mix([source({"a": 1}), source({"a": 1})], SMALL))
    assert not (one[0][0]["video"] == other[0][0]["video"]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.5}, "temperature must be at least 1, got 0.5"),
        ({"weights": "paper"}, "weights must not be 'paper' for mine, which the paper does not list"),
        ({"weights": {"spring": 1.0}}, "weights must name mine, got spring"),
        ({"weights": {"spring": 1.0, "mine": 0.0}}, r"weights\['mine'\] must be > 0, got 0"),
    ],
)
def test_weights_that_cannot_be_are_refused(options, message) -> None:
    with pytest.raises(ValueError, match=message):
        mix([source({"spring": 1, "mine": 1})], SMALL, **options)


def test_nothing_to_mix_is_refused() -> None:
    with pytest.raises(ValueError, match="sources must hold recordings, got none"):
        mix([MemorySource([])], SMALL)


def test_unknown_weights_are_refused(without_shape_checker) -> None:
    with pytest.raises(ValueError, match="weights must be scenes, paper or weights by dataset, got 'size'"):
        mix([source({"spring": 1})], SMALL, weights="size")
