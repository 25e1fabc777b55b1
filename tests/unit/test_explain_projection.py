from __future__ import annotations

import numpy as np
import pytest
from sklearn.manifold import trustworthiness

from assay.errors import ConfigError
from assay.explain.neighbours import unit_length
from assay.explain.projection import choose_evenly, knn_share, project
from assay.image import encode_image, read_image
from assay.report.map_chart import map_png, map_svg
from assay.report.map_layout import class_colours, lay_out


def clouds(n=90, k=3, spread=0.1, f=20):
    """k clouds of points around corners of their own, and their names."""
    rng = np.random.default_rng(0)
    labels = [f"class {i % k}" for i in range(n)]
    corners = 3 * np.eye(k, f)[np.arange(n) % k]
    return (corners + spread * rng.normal(size=(n, f))).astype(np.float32), labels


def test_clouds_stay_clouds():
    vectors, labels = clouds()
    found = project(vectors, labels)
    assert found.method == "t-SNE"
    assert np.abs(found.xy).max() == pytest.approx(1, abs=1e-5)
    assert found.knn_full == found.knn_map == 1
    assert found.trustworthiness == pytest.approx(
        trustworthiness(unit_length(vectors), found.xy, n_neighbors=10), abs=1e-6
    )
    np.testing.assert_array_equal(found.xy, project(vectors, labels).xy)


def test_noise_is_not_called_order():
    rng = np.random.default_rng(1)
    found = project(rng.normal(size=(120, 60)).astype(np.float32), [str(i % 4) for i in range(120)])
    assert found.knn_full < 0.5


@pytest.mark.parametrize("n", [1, 2, 3, 5, 12, 29, 31])
def test_few_pictures(n):
    found = project(*clouds(n))
    assert found.xy.shape == (n, 2)
    assert np.isfinite(found.xy).all()
    assert found.method == ("none" if n < 3 else "PCA" if n < 30 else "t-SNE")
    assert found.scores()["shown"] == n


def test_equal_pictures_have_no_map():
    found = project(np.ones((50, 8), np.float32), ["a"] * 50)
    assert (found.method, found.knn_full) == ("none", None)
    assert found.scores()["trustworthiness"] is None


def test_one_number_a_picture_and_no_labels():
    found = project(np.linspace(-1, 1, 40, dtype=np.float32)[:, None])
    assert found.knn_full is None
    assert np.isfinite(project(np.eye(20, 2, dtype=np.float32) + 1).xy).all()


def test_too_many_pictures_are_chosen_evenly():
    labels = ["rare"] * 5 + ["common"] * 995
    rows = choose_evenly(list(labels), 20, 0)
    assert len(rows) == 20
    assert sum(labels[r] == "rare" for r in rows) == 5
    assert list(rows) == sorted(rows)
    found = project(*clouds(90), most=40)
    assert (len(found.rows), found.total) == (40, 90)


def test_nothing_to_map_is_told():
    with pytest.raises(ConfigError, match="at least one picture"):
        project(np.empty((0, 3), np.float32))


def test_share_of_neighbours_has_a_known_answer():
    line = np.array([[0], [1], [2], [10], [11], [12]], np.float32)
    assert knn_share(line, ["a", "a", "a", "b", "b", "b"], 2) == 1
    assert knn_share(line, ["a", "b", "a", "b", "a", "b"], 1) == 0
    assert knn_share(line, [None] * 6, 2) is None
    assert knn_share(line, ["a"] * 6, 2) is None


def test_reading_pictures_does_not_upset_scikit_learn(tmp_path):
    """Its threads copy all warning filters, and ours for decoding is no regular expression."""
    (tmp_path / "a.png").write_bytes(encode_image(np.zeros((9, 9, 3), np.uint8), "PNG"))
    read_image(tmp_path / "a.png")
    assert project(*clouds(20)).method == "PCA"


def layout(n=60, k=3, **options):
    vectors, labels = clouds(n, k)
    answers = ["class 0" if i < 4 else label for i, label in enumerate(labels)]
    found = project(vectors, labels)
    return lay_out(found.xy, labels, answers, [f"{i}<&>.png" for i in range(n)], **options)


def test_the_drawing_holds_every_picture_and_escapes_names():
    found = layout()
    svg = map_svg(found, {row: np.zeros((8, 8, 3), np.uint8) for row in range(60)}, alone=True)
    assert svg.count("<circle") >= 60
    assert svg.count('class="map-rings"') == 1
    assert "1&lt;&amp;&gt;.png: is class 1, answered class 0" in svg
    assert "<&>" not in svg
    assert map_png(found, {}).startswith(b"\x89PNG")


def test_a_legend_for_many_classes():
    found = layout(n=240, k=80)
    assert len(found.legend) == 30
    assert found.beyond == 50
    assert "50 classes more" in map_svg(found, {})
    assert len(set(class_colours(80))) == 80
    inside = [0 <= p.x <= found.width and 0 <= p.y <= found.plot_height for p in found.points]
    assert all(inside)


def test_names_and_small_pictures_do_not_cover_each_other():
    found = layout(n=200, k=8, thumbs=12)
    assert 0 < len(found.thumbs) <= 12
    for i, a in enumerate(found.thumbs):
        assert all(max(abs(a.x - b.x), abs(a.y - b.y)) >= 54 for b in found.thumbs[:i])
    assert found.names


def test_one_picture_has_a_map():
    found = layout(n=1)
    assert len(found.points) == 1
    assert "<svg" in map_svg(found, {})
