from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from assay.configs import AugmentConfig
from assay.train.batch import Batches, Moment, Shard, sampling_weights
from assay.train.cache import PictureCache

N = 10


@pytest.fixture
def cache(tmp_path: Path) -> PictureCache:
    paths = [tmp_path / f"{i}.png" for i in range(N)]
    for i, path in enumerate(paths):
        Image.new("RGB", (40, 32), (i * 20, 0, 0)).save(path)
    found = PictureCache(tmp_path / "c", paths, lambda p: np.asarray(Image.open(p)), limit_bytes=10**6)
    found.fill(workers=1)
    return found


def make(cache: PictureCache, **options: object) -> Batches:
    settings = {"batch": 4, "seed": 3, "workers": 2, **options}
    augment = settings.pop("augment", AugmentConfig())
    return Batches(cache, np.arange(N) % 2, 2, augment, **settings)  # type: ignore[arg-type]


def test_a_stream_can_begin_anywhere_and_is_always_the_same(cache: PictureCache) -> None:
    batches = make(cache)
    stream = batches.stream(0, lambda _: Moment(16))
    whole = [next(stream) for _ in range(7)]
    stream.close()
    later = batches.stream(5, lambda _: Moment(16))
    for expected in whole[5:]:
        found = next(later)
        assert np.array_equal(found.images, expected.images)
        assert np.array_equal(found.targets, expected.targets)
    later.close()


def test_an_epoch_shows_every_picture_at_most_once(cache: PictureCache) -> None:
    batches = make(cache)
    assert batches.steps_per_epoch == 2
    rows = np.concatenate([batches.rows_of(step)[1] for step in range(2)])
    assert len(set(rows.tolist())) == 8
    assert batches.rows_of(2)[0] == 1


def test_processes_share_a_step_without_overlap(cache: PictureCache) -> None:
    one = make(cache, shard=Shard(0, 2))
    two = make(cache, shard=Shard(1, 2))
    assert not set(one.rows_of(0)[1]) & set(two.rows_of(0)[1])


def test_mixed_targets_still_add_up_to_one(cache: PictureCache) -> None:
    batch = make(cache, augment=AugmentConfig(cutmix=1.0)).make(0, Moment(16))
    assert batch.targets.shape == (4, 2)
    assert np.allclose(batch.targets.sum(1), 1)
    assert batch.images.dtype == np.uint8


def test_fewer_pictures_than_a_batch_still_train(cache: PictureCache) -> None:
    assert make(cache, batch=64).make(0, Moment(16)).images.shape == (10, 16, 16, 3)


def test_sampling_weights_draw_classes_equally() -> None:
    weights = sampling_weights(np.array([0, 0, 0, 1]), 2)
    assert weights[:3].sum() == pytest.approx(0.5)
    assert weights[3] == pytest.approx(0.5)
