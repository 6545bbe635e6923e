"""Optimizers each of which breaks one rule."""

from __future__ import annotations

import os

import torch
from torch.optim import LBFGS, SGD, Adam, Optimizer

import bench

BENCH_API = 1


class Descent(Optimizer):
    """Descent with momentum, sound; the others change one thing of it."""

    def __init__(self, params, lr=0.05, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p, group)

    def update(self, p, group):
        p.sub_(self.velocity(p, group), alpha=group["lr"])

    def velocity(self, p, group):
        state = self.state[p]
        if "velocity" not in state:
            state["velocity"] = torch.zeros_like(p)
        return state["velocity"].mul_(group["momentum"]).add_(p.grad)


class Noisy(Descent):
    """Draws from torch's own generator, which runs seed and save."""

    def update(self, p, group):
        step = self.velocity(p, group) + 1e-3 * torch.randn_like(p)
        p.sub_(step, alpha=group["lr"])


class Climbing(Descent):
    def update(self, p, group):
        p.add_(self.velocity(p, group), alpha=group["lr"])


class WithItsOwnRate(Descent):
    def __init__(self, params, lr=0.05):
        super().__init__(params, lr)
        self.lr = lr

    def update(self, p, group):
        p.sub_(self.velocity(p, group), alpha=self.lr)


class WithItsFirstRate(Descent):
    def update(self, p, group):
        rate = self.state[p].setdefault("rate", group["lr"])
        p.sub_(self.velocity(p, group), alpha=rate)


class WithTheRateOfAll(Descent):
    def update(self, p, group):
        p.sub_(self.velocity(p, group), alpha=max(g["lr"] for g in self.param_groups))


class Forgetful(Descent):
    def __init__(self, params, lr=0.05):
        super().__init__(params, lr)
        self.velocities = {}

    def velocity(self, p, group):
        before = self.velocities.get(p, torch.zeros_like(p))
        self.velocities[p] = before * group["momentum"] + p.grad
        return self.velocities[p]


class History:
    """What no checkpoint can hold: reading it back would run code."""

    def __init__(self):
        self.steps = 0


class WithObjects(Descent):
    def update(self, p, group):
        self.state[p].setdefault("history", History()).steps += 1
        super().update(p, group)


class Rolling(Descent):
    def update(self, p, group):
        noise = torch.randn(p.shape, generator=self.dice()).to(p.device)
        p.sub_(self.velocity(p, group) + 0.01 * noise, alpha=group["lr"])

    def dice(self):
        return torch.Generator().manual_seed(int.from_bytes(os.urandom(4)))


class OnTheCPU(Descent):
    def update(self, p, group):
        state = self.state[p]
        state.setdefault("velocity", torch.zeros(p.shape))
        super().update(p, group)


class Flat(Descent):
    def update(self, p, group):
        p.view(-1).sub_(p.grad.view(-1), alpha=group["lr"])


class Greedy(Descent):
    def step(self, closure=None):
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad, alpha=group["lr"])


class Decaying(Descent):
    def step(self, closure=None):
        super().step()
        with torch.no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    p.mul_(1 - 0.01 * group["lr"])


def parameters(model, *, lr=0.1):
    """Return parameters rather than what trains them."""
    return list(model.parameters())


def by_closure(model, *, lr=0.1):
    """Ask for the loss again and again, which nobody gives."""
    return LBFGS(model.parameters(), lr=lr)


def matrices(model, *, lr=0.1):
    """Forget whatever is no matrix."""
    return SGD([p for p in model.parameters() if p.ndim > 1], lr=lr)


def copied(model, *, lr=0.1):
    """Train copies of the parameters."""
    return SGD([p.detach().clone().requires_grad_() for p in model.parameters()], lr=lr)


def fast(model, *, lr=1e3):
    """Step too far."""
    return SGD(model.parameters(), lr=lr)


def rash(model, *, lr=3.0):
    """Step too far for a network, though not for what is smooth."""
    return SGD(model.parameters(), lr=lr, momentum=0.9)


def adam(model, *, lr=1e-3, beta=0.9):
    """Adam, which is sound."""
    return Adam(model.parameters(), lr=lr, betas=(beta, 0.999))


def stranger(trial):
    return {"momentum": trial.suggest_float("momentum", 0.0, 0.9)}


def too_much(trial):
    return {"beta": trial.suggest_float("beta", 0.5, 1.0)}


def of(kind):
    def build(model, *, lr=0.05):
        return kind(model.parameters(), lr=lr)

    build.__doc__ = f"Train by {kind.__name__}."
    return build


@bench.hookimpl
def register_optimizers():
    return [
        bench.Optimizer(name="sound", build=of(Descent)),
        bench.Optimizer(name="sound-with-noise", build=of(Noisy)),
        bench.Optimizer(name="parameters", build=parameters),
        bench.Optimizer(name="by-closure", build=by_closure),
        bench.Optimizer(name="matrices", build=matrices),
        bench.Optimizer(name="copied", build=copied),
        bench.Optimizer(name="climbing", build=of(Climbing)),
        bench.Optimizer(name="fast", build=fast),
        bench.Optimizer(name="rash", build=rash),
        bench.Optimizer(name="its-own-rate", build=of(WithItsOwnRate)),
        bench.Optimizer(name="its-first-rate", build=of(WithItsFirstRate)),
        bench.Optimizer(name="rate-of-all", build=of(WithTheRateOfAll)),
        bench.Optimizer(name="forgetful", build=of(Forgetful)),
        bench.Optimizer(name="with-objects", build=of(WithObjects)),
        bench.Optimizer(name="rolling", build=of(Rolling)),
        bench.Optimizer(name="flat", build=of(Flat)),
        bench.Optimizer(name="greedy", build=of(Greedy)),
        bench.Optimizer(name="decaying", build=of(Decaying)),
        bench.Optimizer(name="on-the-cpu", build=of(OnTheCPU)),
        bench.Optimizer(name="suggests-a-stranger", build=adam, suggest=stranger),
        bench.Optimizer(name="suggests-too-much", build=adam, suggest=too_much),
    ]
