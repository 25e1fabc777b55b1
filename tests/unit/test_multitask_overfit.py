"""One network learns eight drawn pictures by heart: boxes, masks, pixels and class at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.mask_arrays import to_arrays

from assay.boxes import iou
from assay.configs import ModelConfig
from assay.losses.multitask import MultiTaskLoss
from assay.losses.targets import Target, collate, cover
from assay.models.multitask import Heads, MultiTask, build_multitask
from assay.models.outputs import BoxOutputs, Outputs
from assay.postprocess_boxes import FoundBoxes, Frame, find_boxes
from assay.postprocess_masks import cut_masks, label_pixels

SIDE, COLOURS = 96, np.array([[0.9, 0.2, 0.2], [0.2, 0.9, 0.2], [0.2, 0.3, 0.9]], np.float32)
HEADS = Heads(classes=2, boxes=3, masks=True, pixels=4)
STEPS, LR = 180, 4e-3
WHOLE = Frame((SIDE, SIDE))


def draw(seed: int) -> tuple[torch.Tensor, Target]:
    """Two or three rectangles or discs that do not overlap, in three colours (their classes), on noise."""
    rng = np.random.default_rng(seed)
    picture = rng.normal(0.45, 0.05, (SIDE, SIDE, 3)).astype(np.float32)
    y, x = np.mgrid[:SIDE, :SIDE]
    boxes, labels, masks = [], [], []
    corners = rng.permutation(4)[: rng.integers(2, 4)]
    for corner in corners:
        width, height = rng.integers(10, 40, 2)
        left, top = (int(v) for v in (corner % 2, corner // 2) * np.array([48, 48]) + rng.integers(0, 8, 2))
        colour = int(rng.integers(3))
        mask = (x >= left) & (x < left + width) & (y >= top) & (y < top + height)
        if rng.random() < 0.5:
            ellipse = ((x + 0.5 - left) / width - 0.5) ** 2 + ((y + 0.5 - top) / height - 0.5) ** 2
            mask &= ellipse <= 0.25
        picture[mask] = COLOURS[colour] + rng.normal(0, 0.03, 3)
        boxes.append([left, top, left + width, top + height])
        labels.append(colour)
        masks.append(mask)
    pixels = np.zeros((SIDE, SIDE), np.uint8)
    for mask, label in zip(masks, labels, strict=True):
        pixels[mask] = label + 1
    target = Target(
        label=len(boxes) - 2,
        boxes_xyxy=torch.tensor(boxes).float(),
        box_labels=torch.tensor(labels),
        box_masks=cover(torch.from_numpy(np.stack(masks))),
        pixels=torch.from_numpy(pixels),
    )
    return torch.from_numpy((picture - 0.45) / 0.25).permute(2, 0, 1), target


def train(model: MultiTask, x: torch.Tensor, targets: list[Target]) -> None:
    loss = MultiTaskLoss()
    optimiser = torch.optim.AdamW(model.parameters(), lr=LR, betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LR, total_steps=STEPS, pct_start=0.1)
    goal = collate(targets, HEADS, (SIDE, SIDE))
    for _ in range(STEPS):
        optimiser.zero_grad()
        sum(loss(model(x), goal).tasks.values()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
        schedule.step()


def answers(boxes: BoxOutputs, i: int, **options) -> FoundBoxes:
    logits, distances = boxes.class_logits[i].numpy(), boxes.distances[i].numpy()
    return find_boxes(logits, distances, (SIDE, SIDE), WHOLE, **options)


def ap50(found: list[FoundBoxes], targets: list[Target]) -> float:
    """Mean over classes of the area under the precision that every recall reaches (VOC 2010)."""
    values = []
    for label in range(HEADS.boxes):
        rows, total = [], 0
        for f, t in zip(found, targets, strict=True):
            truth = t.boxes_xyxy[t.box_labels == label].double().numpy()
            total, free = total + len(truth), np.ones(len(truth), bool)
            for box, score in zip(f.boxes_xyxy[f.labels == label], f.scores[f.labels == label], strict=True):
                overlaps = iou(box[None], truth)[0] * free
                hit = len(truth) > 0 and overlaps.max() >= 0.5
                if hit:
                    free[overlaps.argmax()] = False
                rows.append((score, hit))
        hits = np.array([hit for _, hit in sorted(rows, key=lambda row: -row[0])], float)
        precision = hits.cumsum() / np.arange(1, len(hits) + 1)
        envelope = np.maximum.accumulate(precision[::-1])[::-1]
        values.append(float((envelope * hits).sum() / total))
    return float(np.mean(values))


def mean_iou(found: np.ndarray, truth: np.ndarray) -> float:
    matrix = np.bincount(truth.ravel() * 4 + found.ravel(), minlength=16).reshape(4, 4)
    return float((np.diag(matrix) / (matrix.sum(0) + matrix.sum(1) - np.diag(matrix))).mean())


def mask_ious(outputs: Outputs, found: FoundBoxes, i: int, target: Target, truth: np.ndarray) -> list[float]:
    """Of each thing with the mask of the box that overlaps it most."""
    coefficients = outputs.boxes.coefficients[i].numpy()[found.points]
    crops = cut_masks(found.boxes_xyxy, coefficients, outputs.prototypes[i].numpy(), WHOLE)
    masks = to_arrays(crops, (SIDE, SIDE))
    best = iou(target.boxes_xyxy.double().numpy(), found.boxes_xyxy).argmax(1)
    pairs = [
        (masks[k], truth == label + 1) for k, label in zip(best, target.box_labels.tolist(), strict=True)
    ]
    boxes = target.boxes_xyxy.long().tolist()
    values = []
    for (mask, same_class), (left, top, right, bottom) in zip(pairs, boxes, strict=True):
        own = np.zeros_like(same_class)
        own[top:bottom, left:right] = same_class[top:bottom, left:right]
        values.append((mask & own).sum() / (mask | own).sum())
    return values


@pytest.mark.slow
def test_eight_pictures_are_learned_by_heart():
    drawn = [draw(seed) for seed in range(8)]
    x, targets = torch.stack([picture for picture, _ in drawn]), [target for _, target in drawn]
    torch.manual_seed(0)
    model = build_multitask(ModelConfig(model="csp-nano"), HEADS).train()
    train(model, x, targets)
    with torch.no_grad():
        outputs = model.eval()(x)
    found = [answers(outputs.boxes, i) for i in range(8)]
    single = [answers(outputs.boxes_one_to_one, i, iou_threshold=None) for i in range(8)]
    truth = np.stack([target.pixels.numpy() for target in targets])
    labelled = np.stack([label_pixels(outputs.pixel_logits[i].numpy(), WHOLE) for i in range(8)])
    overlaps = [v for i in range(8) for v in mask_ious(outputs, found[i], i, targets[i], truth[i])]
    assert ap50(found, targets) > 0.95
    assert ap50(single, targets) > 0.95
    assert mean_iou(labelled, truth) > 0.95
    assert np.mean(overlaps) > 0.9
    assert outputs.class_logits.argmax(1).tolist() == [target.label for target in targets]
