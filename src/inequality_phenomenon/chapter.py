"""A chapter of the book, as its notebook sees it: what it opens, measures and compares, and what stands at its foot."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, partial
from typing import Any, TypeVar

import pandas as pd

from ._support.profiles import load_profile
from .measure.image_sets import CIFAR10
from .measure.panel import RECORDS
from .measure.reference import PAPER_SCALE_PROFILE, as_shipped, load_reference, reference_folder, stacked
from .measure.run import Run, open_run
from .show.foot import foot
from .show.report import panel_contrasts
from .show.style import Shown
from .show.tables import claims_note, in_short
from .statistics import Estimate
from .verdicts.agreement import Agreement, agreement
from .verdicts.claims import Claim, judge, load_claims
from .verdicts.comparison import Compared, Contrast, Contrasted, compare, contrasted, explained
from .verdicts.published import Cell
from .verdicts.scoreboard import claims_frame, reference_frames

REFERENCE_PROFILE = "full"
Found = TypeVar("Found", bound=Contrasted)
COMMON = ("profile", "device", "n_images", "seed", "models")  # parameters of every notebook


def open(name: str, parameters: Mapping[str, Any]) -> "Chapter":
    """The chapter ``name`` with a notebook's ``parameters``: give ``globals()``. ``None`` means the profile's value.

    Beside the common ones the parameters named in the profile's options are read. Errors as of ``measure.run.open_run``.
    """
    common: dict[str, Any] = {key: parameters[key] for key in COMMON if key in parameters}
    plans = load_profile(common.get("profile", "laptop")).chapters
    common |= {key: parameters.get(key) for key in (plans[name].options if name in plans else ())}
    return _chapter(open_run(name, **common))


def _chapter(run: Run, **more: Any) -> "Chapter":
    return Chapter(**{f.name: getattr(run, f.name) for f in fields(run)} | more)


@dataclass
class Chapter(Run):
    """A run with what a page says about it. ``full_size``: records of the full-size networks, by table."""

    full_size: dict[str, pd.DataFrame] = field(default_factory=dict)

    @cached_property
    def ours(self) -> "Chapter":
        """The run whose numbers the page shows: the reference run, where this one is as its profile plans it; else this one.

        It has the reference run's networks, images and options, so that a page shows all that was measured.
        """
        stands_alone = (REFERENCE_PROFILE, PAPER_SCALE_PROFILE)
        if not self.as_planned or self.profile.name in stands_alone or self.profile.dataset != CIFAR10.name:
            return self
        if not (tables := load_reference(self.chapter)):
            return self
        large = load_reference(self.chapter, folder=reference_folder(PAPER_SCALE_PROFILE))
        planned = open_run(self.chapter, REFERENCE_PROFILE, self.device.type)
        return _chapter(planned, records=dict(tables), full_size=large)

    def table(self, *names: str) -> pd.DataFrame | None:
        """The named records that exist, one below the other, with a ``condition`` in each row; ``None`` without any."""
        return stacked(self.records, names)

    def compare(self, cells: Sequence[Cell], *names: str) -> list[Compared]:
        """Published values beside the named records: see ``verdicts.comparison.compare``."""
        return self._found(partial(compare, cells), names)

    def contrast(
        self, contrasts: Sequence[Contrast], *names: str, images: Sequence[int] | None = None
    ) -> list[Contrasted]:
        """Differences found in the named records, or in their rows of some ``images`` (ids) alone: see
        ``verdicts.comparison.contrasted``."""
        return self._found(partial(contrasted, contrasts), names, images)

    def _found(
        self, judge: Callable[..., list[Found]], names: Sequence[str], images: Sequence[int] | None = None
    ) -> list[Found]:
        """What ``judge`` finds in the named records, each with what it finds in those of the full-size networks."""
        table, large, draws = self.table(*names), stacked(self.full_size, names), self.profile.bootstrap
        if table is not None and images is not None:
            table = table[table.image_id.isin(images)]
        here = judge(table, resamples=draws)
        if large is None:
            return here
        beside = judge(as_shipped(large), resamples=draws)
        return [replace(item, full_size=other) for item, other in zip(here, beside, strict=True)]

    def panel(self, against: str, models: Sequence[str] | None = None) -> list[list[Contrasted]]:
        """The panel of ``models`` (default: those that the chapter is about) minus that of ``against``: indices, rates."""
        return [self.contrast(group, *RECORDS) for group in panel_contrasts(self, against, models)]

    def explain(
        self, models: Sequence[str], condition: str, outcome: str, covariates: dict[str, tuple[str, str]], **more: Any
    ) -> dict[str, dict[str, Estimate]]:
        """Logistic regressions on this run's records: see ``verdicts.comparison.explained``."""
        return explained(models, condition, self.records, outcome, covariates, **more)

    def claims(self, *ids: str) -> Shown:
        """The verdict on each claim of this chapter, or on those named, with every test."""
        return claims_note(self._chosen(ids), self._verdicts)

    def in_short(self, *ids: str) -> Shown:
        """The box on top of the page: the same claims, each with its verdict alone."""
        if not (chosen := self._chosen(ids)):
            raise ValueError("no claim of this chapter is in results/claims.yaml: say what it found with show.boxed")
        return in_short(chosen, self._verdicts)

    def _chosen(self, ids: Sequence[str]) -> list[Claim]:
        return [c for c in load_claims() if c.chapter == self.chapter and (not ids or c.id in ids)]

    @cached_property
    def _verdicts(self) -> pd.DataFrame:
        """The chapter is judged once: with the reference run, when that was committed."""
        if self.ours is not self:
            return reference_frames()[0]
        judged = judge(self._chosen(()), {self.chapter: self.records}, resamples=self.profile.bootstrap)
        return claims_frame(judged)

    def agreement(self) -> Agreement:
        """This run's records against the committed ones of the same settings."""
        planned = load_profile(REFERENCE_PROFILE).chapters.get(self.chapter)
        draws = planned and planned.options.get("draws")
        known = load_reference(self.chapter, self.overrides)
        return agreement(self.records, known, same_draws=self.options.get("draws") == draws)

    def footer(self) -> Shown:
        """The foot of the page: close calls, this run against the reference run, and where every number comes from."""
        return foot(self, None if self.profile.dataset != CIFAR10.name else self.agreement())
