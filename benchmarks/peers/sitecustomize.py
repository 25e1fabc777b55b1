"""Lets torchvision from a package index import beside a CPU build of torch that its compiled operators do not fit.

``setup_peers`` copies this file into the peers' environment, where Python runs it at every start. Importing
torchvision registers shape functions for two of its C++ operators and stops where these are unknown, so just
before that import their schemas are declared. Transforms, data sets and classifiers need none of them.
"""

import importlib.abc
import sys


class _DeclareOperators(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):  # noqa: ARG002 - the protocol's signature
        if name == "torchvision":
            sys.meta_path.remove(self)
            self._declare()

    def _declare(self) -> None:
        import torch  # noqa: PLC0415 - only where torchvision is imported

        try:
            library = torch.library.Library("torchvision", "DEF")
            library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
            library.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        except RuntimeError:
            return  # a torchvision that fits has declared them itself
        sys.modules["_torchvision_schemas"] = library  # the schemas live as long as the library object


sys.meta_path.insert(0, _DeclareOperators())
