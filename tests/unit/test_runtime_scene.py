from __future__ import annotations

import numpy as np
import assay


def test_x(scene_bundle, draw_cells):
    p = assay.load(scene_bundle)
    photo = draw_cells("a.png", {(0, 1): "red", (3, 4): "blue"})
    a = p(photo)
    print(a.boxes, a.to_json(), a.classes, a.tags)
    print(p)
    assert 0
