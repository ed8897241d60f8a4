"""The runs of the two studies, in the order in which they are done: which arm, which seed, which films."""

from dataclasses import dataclass

from training import arms, protocol

SEEDS = (0, 1, 2)
FOLDS = (0, 1)
ROLES = ("seen", "left_out", "control")


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of a study. `target` None with role `seen`: of all targets that any film may show."""

    study: str
    arm: str
    seed: int
    fold: int | None = None
    target: str | None = None
    role: str | None = None

    @property
    def name(self) -> str:
        """Of its folder."""
        parts = [self.arm, self.role, self.target and self.target.replace(" ", "_")]
        parts += [f"fold{self.fold}" if self.fold is not None else None, f"seed{self.seed}"]
        return "-".join(part for part in parts if part)


def ablation() -> list[Run]:
    """Every arm with every seed."""
    return [Run(study="ablation", arm=arm, seed=seed) for seed in SEEDS for arm in arms.ABLATION]


def unseen() -> list[Run]:
    """Every arm on every target: with it, without it, and without as many others; each half of the patients.

    First those that saw everything, on both halves: `training.tables perceptual` asks for no others. Then one half
    and the other: the first alone makes a table.
    """
    runs = []
    alone = [name for name, labels in protocol.TARGETS.items() if labels <= protocol.UNREPORTED]
    for fold in FOLDS:
        for arm in arms.UNSEEN:
            shared: list[tuple[str | None, str]] = [(None, "seen"), *((target, "seen") for target in alone)]
            others = [(target, role) for target in protocol.TARGETS for role in ROLES[1:]]
            runs += [
                Run(study="unseen", arm=arm, seed=0, fold=fold, target=target, role=role)
                for target, role in [*shared, *others]
            ]
    return sorted(runs, key=lambda run: run.target is not None)
