"""The training script that people write with timm or torchvision and a DataLoader; honest, and in no way held back.

RandomResizedCrop, flip, TrivialAugment, AdamW with warm-up and cosine, label smoothing, two loading processes, best
epoch by validation. Within ``--minutes`` the first epoch is timed, the number of epochs planned so that the cosine
ends with the time, and the plan renewed after each epoch. Loading the best weights and answering the test part come
on top of the minutes, in the script's favour.

    .venvs/peers/bin/python -m benchmarks.peers.timm_script --tree runs/data/clothing/tree --minutes 10 --out X
"""

from __future__ import annotations

from benchmarks.peers.outcome import list_pictures, minutes_used, write_outcome  # first: starts the clock

# isort: split
import argparse
import copy
import math
import time
from pathlib import Path
from typing import Any

import timm
import torch
import torchvision
from PIL import Image
from timm.utils import ModelEmaV3
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision import transforms as T
from torchvision.datasets import ImageFolder


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tree", type=Path, required=True, help="folder with train, val and test")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, help="budget, start-up counted")
    parser.add_argument("--epochs", type=int, help="instead of --minutes")
    parser.add_argument("--model", default="resnet18", help="a timm name")
    parser.add_argument("--torchvision", action="store_true", help="--model is a name of torchvision's")
    parser.add_argument(
        "--model-option", action="append", default=[], metavar="KEY=VALUE", help="pad_type=same"
    )
    parser.add_argument(
        "--weights", type=Path, help="state dict fitted by order and shape; the head stays new"
    )
    parser.add_argument(
        "--norms", choices=("train", "frozen"), default="train", help="batch norms' statistics"
    )
    parser.add_argument("--imgsz", type=int, default=224)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--optimiser", choices=("adamw", "sgd"), default="adamw")
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.05)
    parser.add_argument("--smoothing", type=float, default=0.1)
    parser.add_argument("--scale", type=float, default=0.35, help="least share of the area of a random crop")
    parser.add_argument("--no-trivial", action="store_true", help="crops and flips only")
    parser.add_argument("--mean", type=float, nargs=3, default=(0.485, 0.456, 0.406))
    parser.add_argument("--std", type=float, nargs=3, default=(0.229, 0.224, 0.225))
    parser.add_argument("--ema", type=float, help="decay of averaged weights, judged instead of the raw ones")
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, help="threads of torch; its own choice is all cores")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-test", action="store_true", help="train only, for throughput")
    args = parser.parse_args()
    if (args.minutes is None) == (args.epochs is None):
        parser.error("give one of --minutes and --epochs")
    return args


def build_loaders(args: argparse.Namespace) -> tuple[DataLoader, DataLoader, T.Compose]:
    """(training batches, validation batches, the transform of validation and test)."""
    end = [T.ToTensor(), T.Normalize(args.mean, args.std)]
    trivial = [] if args.no_trivial else [T.TrivialAugmentWide(interpolation=T.InterpolationMode.BILINEAR)]
    crop = T.RandomResizedCrop(args.imgsz, scale=(args.scale, 1.0))
    train = T.Compose([crop, T.RandomHorizontalFlip(), *trivial, *end])
    plain = T.Compose([T.Resize(args.imgsz), T.CenterCrop(args.imgsz), *end])
    sets = [
        ImageFolder(str(args.tree / part), transform, allow_empty=True)
        for part, transform in (("train", train), ("val", plain))
    ]
    options: dict[str, Any] = {"num_workers": args.workers, "persistent_workers": args.workers > 0}
    full = len(sets[0]) >= args.batch
    batches = DataLoader(sets[0], args.batch, shuffle=True, drop_last=full, **options)
    return batches, DataLoader(sets[1], args.batch, **options), plain


def build_model(args: argparse.Namespace, classes: int) -> nn.Module:
    """The network, with the trunk of a local weights file where one is given."""
    options = dict(pair.split("=", 1) for pair in args.model_option)
    if args.torchvision:
        model = torchvision.models.get_model(args.model, weights=None, num_classes=classes)
    else:
        model = timm.create_model(args.model, num_classes=classes, **options)
    if args.weights:
        fit_weights(model, torch.load(args.weights, map_location="cpu", weights_only=True))
    return model.to(memory_format=torch.channels_last) if args.channels_last else model


def fit_weights(model: nn.Module, given: dict[str, Tensor]) -> None:
    """Copy tensors in order where every shape but the classifier's agrees.

    Raises
    ------
    ValueError : the trunks differ.
    """
    own = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
    values = [v for k, v in given.items() if not k.endswith("num_batches_tracked")]
    head = len(list(model.get_classifier().parameters()))
    pairs = list(zip(list(own)[:-head], values[:-head], strict=True))
    for name, value in pairs:
        if own[name].shape != value.shape:
            raise ValueError(f"{name} is {tuple(own[name].shape)}, the file has {tuple(value.shape)}")
    model.load_state_dict({name: value.float() for name, value in pairs}, strict=False)


def build_optimiser(args: argparse.Namespace, model: nn.Module) -> torch.optim.Optimizer:
    """AdamW or SGD; no weight decay on norms and biases."""
    decayed = [p for p in model.parameters() if p.ndim > 1]
    others = [p for p in model.parameters() if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": args.weight_decay}, {"params": others, "weight_decay": 0.0}]
    if args.optimiser == "sgd":
        return torch.optim.SGD(groups, lr=args.lr, momentum=0.9, nesterov=True)
    return torch.optim.AdamW(groups, lr=args.lr)


class Schedule:
    """Epochs planned from the clock, and the learning rate's factor over them: warm-up 5 %, then a cosine to 0."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.minutes, self.epochs = args.minutes, args.epochs or 10
        self.begun = minutes_used()

    def factor(self, epoch: float) -> float:
        progress = min(1.0, epoch / self.epochs)
        return min(1.0, progress / 0.05 + 0.01) * 0.5 * (1 + math.cos(math.pi * progress))

    def renew(self, done: int) -> None:
        """After ``done`` epochs: as many more as the time left holds."""
        if self.minutes is not None:
            each = (minutes_used() - self.begun) / done
            self.epochs = done + max(0, int((self.minutes - minutes_used()) / each))

    @property
    def over(self) -> bool:
        return self.minutes is not None and minutes_used() > self.minutes


def train_epoch(args: argparse.Namespace, parts: dict[str, Any], epoch: int, schedule: Schedule) -> float:
    """One pass over the training part; pictures a second, loading included."""
    model, optimiser, loader = parts["model"], parts["optimiser"], parts["train"]
    model.train()
    if args.norms == "frozen":
        for module in model.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
    begun, seen = time.time(), 0
    for i, (x, y) in enumerate(loader):
        for group in optimiser.param_groups:
            group["lr"] = args.lr * schedule.factor(epoch + i / len(loader))
        layout = torch.channels_last if args.channels_last else torch.contiguous_format
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            logits = model(x.contiguous(memory_format=layout))
        loss = nn.functional.cross_entropy(logits.float(), y, label_smoothing=args.smoothing)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()
        if parts["ema"] is not None:
            parts["ema"].update(model)
        seen += len(y)
        if schedule.over:
            break
    return seen / (time.time() - begun)


@torch.inference_mode()
def score(args: argparse.Namespace, model: nn.Module, loader: DataLoader) -> float:
    """Accuracy on validation."""
    model.eval()
    right = seen = 0
    for x, y in loader:
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            right += int((model(x).argmax(1) == y).sum())
        seen += len(y)
    return right / max(1, seen)


@torch.inference_mode()
def answer(model: nn.Module, paths: list[Path], transform: T.Compose) -> list[Any]:
    """Probabilities of each picture, in fp32."""
    model.eval()
    probs = []
    for start in range(0, len(paths), 32):
        x = torch.stack([transform(Image.open(path).convert("RGB")) for path in paths[start : start + 32]])
        probs += list(model(x).softmax(1).numpy())
    return probs


def main() -> int:
    args = parse()
    torch.manual_seed(args.seed)
    if args.threads:
        torch.set_num_threads(args.threads)
    train_loader, val_loader, plain = build_loaders(args)
    classes = train_loader.dataset.classes
    model = build_model(args, len(classes))
    ema = ModelEmaV3(model, decay=args.ema, use_warmup=True) if args.ema else None
    parts = {"model": model, "optimiser": build_optimiser(args, model), "train": train_loader, "ema": ema}
    schedule, rates, best, best_score, epoch = Schedule(args), [], None, -1.0, 0
    ready_s = minutes_used() * 60
    while epoch < schedule.epochs and not schedule.over:
        rates.append(round(train_epoch(args, parts, epoch, schedule), 3))
        epoch += 1
        judged = ema.module if ema else model
        validation = score(args, judged, val_loader)
        if validation >= best_score:
            best_score, best = validation, copy.deepcopy(judged.state_dict())
        schedule.renew(epoch)
        print(
            f"epoch {epoch}/{schedule.epochs}  {rates[-1]:.1f} pictures/s  validation {validation:.4f}",
            flush=True,
        )
    used = minutes_used()
    model.load_state_dict(best)
    paths, targets = ([], []) if args.no_test else list_pictures(args.tree, classes)
    told = write_outcome(
        args.out,
        paths,
        targets,
        answer(model, paths, plain),
        classes,
        tool=f"{'torchvision' if args.torchvision else f'timm {timm.__version__}'} script, torch {torch.__version__}",
        validation=best_score,
        minutes=round(used, 3),
        ready_s=round(ready_s, 2),
        epochs=epoch,
        rates=rates,
        torch_threads=torch.get_num_threads(),
    )
    print(f"test accuracy {told['accuracy'] or 0:.4f} of {told['n']}, {told['minutes']} minutes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
