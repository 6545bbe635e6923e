"""Records of studies made of plain values, for tests that need some to look at."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from samples import make_spec

from bench.studies import Objective, StudyRecord, TrialRecord, TrialState

SCORE = Objective("score", True)
LATENCY = Objective("latency_ms", False)
RATE = {"kind": "float", "low": 1e-5, "high": 1e-1, "log": True, "step": None}
DECAY = {"kind": "float", "low": 0.0, "high": 0.3, "log": False, "step": None}
SIZE = {"kind": "choice", "choices": [32, 64, 128]}


def make_trial(
    number: int,
    score: float | None = None,
    *,
    state: TrialState = TrialState.COMPLETE,
    params: Mapping[str, Any] | None = None,
    **fields: Any,
) -> TrialRecord:
    """Return a trial of ten epochs; a complete one has its score as its only objective."""
    values: dict[str, Any] = {"seconds": 4.0, "epochs": 10}
    if score is not None:
        values["scores"] = {10: score}
        if state is TrialState.COMPLETE:
            values["objectives"] = [score]
    if state is TrialState.FAILED:
        values |= {"error": "diverged: the loss is not finite", "epochs": 1}
    chosen = params or {}
    overrides = chosen if number else {}
    return TrialRecord(number, state, chosen, **{"overrides": overrides, **values, **fields})


def make_study(
    trials: Sequence[TrialRecord] = (),
    *,
    name: str = "shapes-net-adamw",
    space: Mapping[str, Any] | None = None,
    optimizer: str = "adamw",
    model: str = "net",
    dataset: str = "shapes",
    protocol: Mapping[str, Any] | None = None,
    **fields: Any,
) -> StudyRecord:
    """Return a study of these trials, whose id follows from its name."""
    spec = make_spec(model, optimizer, dataset=dataset, protocol=protocol)
    plain = {**spec.to_dict(), "key": {}}
    values: dict[str, Any] = {
        "sampler": "tpe",
        "pruner": "none",
        "budget": f"{len(trials)} trials",
        "tune_seeds": 1,
        "study_seed": 0,
        "objectives": [SCORE],
        "started_at": "2026-01-01T00:00:00+00:00",
        "updated_at": "2026-01-01T00:10:00+00:00",
        "id": hashlib.sha256(name.encode("utf-8", "replace")).hexdigest()[:12],
    }
    searched = {f"{optimizer}.lr": RATE} if space is None else space
    return StudyRecord(
        name=name,
        dataset=dataset,
        model=model,
        optimizer=optimizer,
        base=plain,
        space=searched,
        trials=tuple(trials),
        **{**values, **fields},
    )


def make_rate_study(
    rates: Sequence[float], *, optimizer: str = "adamw", **fields: Any
) -> StudyRecord:
    """Return a study of learning rates, of which 0.01 scores best, and larger ones 0.9 at most."""
    trials = [
        make_trial(
            number,
            0.9 - 0.1 * abs(math.log10(rate) + 2),
            params={f"{optimizer}.lr": rate},
        )
        for number, rate in enumerate(rates)
    ]
    return make_study(trials, optimizer=optimizer, **fields)


def make_wide_study(
    count: int = 60,
    *,
    seed: int = 0,
    sampler: str = "random",
    pruned: bool = True,
    objectives: Sequence[Objective] = (SCORE,),
    **fields: Any,
) -> StudyRecord:
    """Return a study of twelve params, a conditional one among them, as one may come out.

    The learning rate matters most, then the decay; some trials diverge, and some are pruned.
    """
    optimizer = fields.get("optimizer", "adamw")
    space: dict[str, Any] = {
        f"{optimizer}.lr": RATE,
        f"{optimizer}.weight_decay": {**DECAY, "low": 1e-6, "log": True},
        f"{optimizer}.betas": {"kind": "choice", "choices": [[0.9, 0.999], [0.95, 0.98]]},
        "cnn.filters": {"kind": "int", "low": 16, "high": 64, "log": False, "step": 16},
        "cnn.dropout": {"kind": "float", "low": 0.0, "high": 0.5, "log": False, "step": 0.1},
        "cnn.activation": {"kind": "choice", "choices": ["relu", "gelu", "silu", "leaky_relu"]},
        "protocol.batch_size": {"kind": "choice", "choices": [32, 64, 128, 256]},
        "protocol.warmup": {"kind": "int", "low": 0, "high": 5, "log": False, "step": 1},
        "protocol.label_smoothing": {**DECAY, "high": 0.2},
        "one-cycle.peak_fraction": {**DECAY, "low": 0.1, "high": 0.5},
        "protocol.schedule": {"kind": "choice", "choices": ["one-cycle", "cosine"]},
        "cosine.final": {
            "kind": "float",
            "low": 1e-4,
            "high": 1.0,
            "log": True,
            "step": None,
            "condition": "protocol.schedule=cosine",
        },
    }
    space["one-cycle.peak_fraction"]["condition"] = "protocol.schedule=one-cycle"
    generator = np.random.default_rng(seed)
    trials = [
        _drawn(number, space, generator, optimizer, pruned, objectives) for number in range(count)
    ]
    return make_study(
        trials,
        **{
            "space": space,
            "sampler": sampler,
            "pruner": "halving" if pruned else "none",
            "objectives": list(objectives),
            "over": True,
            **fields,
        },
    )


def _drawn(
    number: int,
    space: Mapping[str, Any],
    generator: np.random.Generator,
    optimizer: str,
    pruned: bool,
    objectives: Sequence[Objective],
) -> TrialRecord:
    params = {name: _value(each, generator) for name, each in space.items()}
    params.pop(
        "cosine.final" if params["protocol.schedule"] == "one-cycle" else "one-cycle.peak_fraction"
    )
    far = math.log10(params[f"{optimizer}.lr"]) + 2.7
    score = 0.93 - 0.05 * far**2 - 0.4 * abs(params["cnn.dropout"] - 0.2)
    score = float(np.clip(score + generator.normal(0, 0.01), 0.1, 1.0))
    seconds = float(generator.uniform(20, 40))
    if far > 1.3:
        state = TrialState.FAILED
        return make_trial(number, state=state, params=params, seconds=seconds / 10)
    if pruned and number > 8 and score < 0.75:
        state, fields = TrialState.PRUNED, {"scores": {1: score - 0.2, 3: score - 0.1}, "epochs": 3}
        return make_trial(number, None, state=state, params=params, seconds=seconds / 3, **fields)
    scores = {1: score - 0.2, 3: score - 0.1, 10: score}
    trial = make_trial(number, score, params=params, seconds=seconds, scores=scores)
    latency = 0.5 + params["cnn.filters"] / 32 + float(generator.uniform(0, 0.3))
    known = {"score": score, "latency_ms": latency, "parameters": params["cnn.filters"] ** 2 * 900}
    return dataclasses.replace(trial, objectives=[known[each.name] for each in objectives])


def _value(space: Mapping[str, Any], generator: np.random.Generator) -> Any:
    if space["kind"] == "choice":
        return space["choices"][int(generator.integers(len(space["choices"])))]
    low, high = space["low"], space["high"]
    if space["kind"] == "int":
        return int(generator.choice(np.arange(low, high + 1, space["step"])))
    if space["log"]:
        return float(np.exp(generator.uniform(math.log(low), math.log(high))))
    value = float(generator.uniform(low, high))
    return value if space["step"] is None else round(value / space["step"]) * space["step"]
