"""How much may be spent on tuning one cell: trials, seconds or epochs."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from bench.text import duration


class BudgetKind(enum.StrEnum):
    """What a budget counts."""

    TRIALS = "trials"
    SECONDS = "seconds"
    EPOCHS = "epochs"


@dataclass(frozen=True)
class Budget:
    """What the tuning of each cell may cost, the same for all.

    Attributes:
        amount: of trials, of seconds that their runs took, or of epochs that they trained.
    """

    kind: BudgetKind
    amount: float

    def __str__(self) -> str:
        if self.kind is BudgetKind.SECONDS:
            return duration(self.amount)
        noun = str(self.kind) if self.amount != 1 else str(self.kind).removesuffix("s")
        return f"{self.amount:.0f} {noun}"


_UNITS = {"s": 1, "m": 60, "h": 3600}


def parse_budget(text: str) -> Budget:
    """Read `20` (trials), `90s`, `30m` or `2h` (of training), or `200epochs`.

    Raises:
        ValueError: it is none of these, or nothing could be tried with it.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(trials?|epochs?|[smh]?)", text.strip().lower())
    if match is None:
        raise ValueError(f"`{text}` is no budget; write 20 for trials, 30m, or 200epochs")
    number, unit = float(match[1]), match[2]
    if unit in _UNITS:
        budget = Budget(BudgetKind.SECONDS, number * _UNITS[unit])
    else:
        kind = BudgetKind.EPOCHS if unit.startswith("epoch") else BudgetKind.TRIALS
        budget = Budget(kind, number)
        if not number.is_integer():
            raise ValueError(f"`{text}` is no whole number of {kind}")
    if budget.amount <= 0:
        raise ValueError(f"`{text}` leaves nothing to spend; give more")
    return budget
