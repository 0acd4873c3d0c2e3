import pytest
import torch
from pictures.scenes import looking, make_field, wall_and_ball

from diff4splat.cameras import trajectory
from diff4splat.pictures import overview, overview_sheet


@pytest.mark.parametrize(
    ("height", "width"), [(64, 64), (36, 64), (64, 36), (10, 100), (100, 10), (1, 1)], ids=str
)
@pytest.mark.parametrize("page", [401, 1600])
def test_pages_have_their_width_whatever_the_shape_of_the_video(height, width, page):
    field, path = wall_and_ball(), looking(frames=7, height=height, width=width)
    picture = overview(field, path, views={"another view": path}, title="a ball", width=page)
    assert picture.shape[0] == 3 and picture.shape[2] == page
    assert 0 <= picture.min() < 0.3 and picture.max() <= 1 and torch.isfinite(picture).all()
    margin = round(14 * page / 1600)
    assert (picture[:, :, :margin] == 1).all() and (picture[:, :, -margin:] == 1).all()


def test_the_sheet_is_the_upper_part():
    field, path = wall_and_ball(), looking(frames=5)
    whole, sheet = overview(field, path, width=500), overview_sheet(field, path, width=500)
    assert torch.equal(whole[:, : sheet.shape[1]], sheet) and whole.shape[1] > sheet.shape[1] + 50


@pytest.mark.parametrize("frames", [2, 3, 25])
def test_any_number_of_frames_and_one_time(frames):
    field = make_field([[0.0, 0, 2]], [[[0.0] * 3]])
    picture = overview(field, trajectory.static(frames, height=32, width=48), width=400, title="雨 <b>\n")
    assert picture.shape[2] == 400


def test_nothing_to_be_seen_is_a_page_all_the_same():
    behind = make_field([[0.0, 0, -2]], [[[0.0] * 3]])
    assert torch.isfinite(overview(behind, looking(frames=3), width=400)).all()


def test_errors():
    field, path = wall_and_ball(), looking(frames=3)
    with pytest.raises(ValueError, match="width must be at least 400 pixels, got 399"):
        overview(field, path, width=399)
    with pytest.raises(ValueError, match=r"cameras must be one path of two or more cameras, got \[1\]"):
        overview(field, looking())
    with pytest.raises(ValueError, match=r"two or more cameras, got \[1, 3\]"):
        overview(field, path.batch(None))
    with pytest.raises(ValueError, match=r"view 'a' must have as many cameras as the path \(3\), got 1"):
        overview(field, path, views={"a": looking()})
    with pytest.raises(ValueError, match="field must be one scene without batch axes"):
        overview(field.batch(None), path)
