"""Tables of the smaller benchmarks, from lines as these write them."""

from __future__ import annotations

from benchmarks import install_size, precisions, throughput_detection


def test_precisions_have_differences_and_refusals():
    def way(precision, difference):
        score = {"name": "accuracy", "before": 0.9, "after": 0.89, "difference": difference}
        about = {"kind": "way", "set": "s", "engine": "onnxruntime", "precision": precision}
        return {**about, "n": 100, "scores": [score], "per_s": 50.0}

    nothing = {"value": 0.0, "low": 0.0, "high": 0.0}
    lines = [way("fp32", nothing), way("int8", {"value": -0.01, "low": -0.03, "high": 0.01})]
    gate = {"kind": "gate", "set": "s", "precision": "bf16", "passed": False, "why": "too much"}
    found = precisions.table([*lines, gate])
    assert "| s | onnxruntime | int8 | 100 | accuracy | 90.0 | 89.0 | -1.0 [-3.0, +1.0] | 50 |" in found
    assert "| s | onnxruntime | fp32 | 100 | accuracy | 90.0 | 89.0 | - | 50 |" in found
    assert found[-1] == "Refused on s: too much."


def test_training_rates_of_detectors_stand_beside_their_cost():
    def line(tool, rate):
        return {
            "tool": tool,
            "rate": rate,
            "first_rate": 5.0,
            "size": 320,
            "batch": 16,
            "gflop_a_picture": 2.0,
        }

    found = throughput_detection.table([line("assay", 30.0), line("assay", 50.0), line("peer", 10.0)])
    assert found[2] == "| assay | 320 | 16 | 5.0 | **40.0** | 4.00 x | 2.0 | 2 |"


def test_the_newest_size_counts():
    def line(tool, mb):
        return {"tool": tool, "mb": mb, "mb_with_cuda": mb, "packages": 3, "largest": {"numpy": 71}}

    found = install_size.table([line("a", 500), line("b", 300), line("a", 200)])
    assert found[2:] == ["| a | **200** | 200 | 3 | numpy 71 |", "| b | **300** | 300 | 3 | numpy 71 |"]


def test_a_package_counts_with_what_it_requires():
    found = install_size.closure("rich")
    assert {"rich", "pygments"} <= set(found)
    assert min(found.values()) > 1000
