"""The foot of a chapter: this run against the reference run, and where every number comes from."""

import html
import json

import pandas as pd
import torch

from ..attacks import CLOSE
from ..measure.reference import commit
from ..measure.run import Run
from ..networks import REGISTRY, named
from ..verdicts.agreement import TOLERANCE, Agreement
from .style import Shown, unfolded

PROVENANCE = "Provenance of every number on this page"
SHOWN = 10  # differences or close calls that are named


def foot(run: Run, found: Agreement | None) -> Shown:
    """``found``: against the reference run; ``None`` where there is none of these images."""
    box = "" if found is None else agreement_box(found)
    return Shown(box + _close_calls(run.records) + _provenance(run), "")


def agreement_box(found: Agreement) -> str:
    """The box; red (class ``differs``) where a value is not the reference run's and not a marked close call, and neither
    red nor green (``nothing-compared``) where no value stands in both."""
    state = "differs" if not found.holds else "agrees" if found.values else "nothing-compared"
    calls = f", {found.close_calls} close calls" if found.close_calls else ""
    wrong = f", <strong>{len(found.differing)} differ</strong>" if found.differing else ""
    lead = "No value of this run stands in the reference run under the same settings."
    if found.values:
        lead = f"{found.values:,} values on {found.images} images measured again: {found.equal:,} equal{calls}{wrong}."
    rule = f"Outcomes must be equal unless marked a close call; real numbers within {TOLERANCE:g}."
    items = [*found.differing[:SHOWN], *(["…"] if len(found.differing) > SHOWN else []), *found.by_interval]
    listed = "".join(f"<li>{html.escape(item)}</li>" for item in items)
    left_out = "; ".join(dict.fromkeys(found.skipped))
    return (
        f"<div class='agreement {state}' role='note'><p><strong>This run against the reference run, image by image.</strong> "
        f"{lead} {rule}</p>{f'<ul>{listed}</ul>' if listed else ''}"
        f"{f'<details><summary>Not compared</summary>{html.escape(left_out)}.</details>' if left_out else ''}</div>"
    )


def _close_calls(records: dict[str, pd.DataFrame]) -> str:
    """How many predictions were too close to be trusted to another batch size or number of threads."""
    tables = [table for table in records.values() if "close_call" in table]
    if not tables:
        return ""
    keys = {"checkpoint", "image_id", "condition"}
    close = pd.concat([table.loc[table.close_call, table.columns.isin(keys)] for table in tables]).drop_duplicates()
    names = [
        f"{row.get('condition', '')}, {named(row['checkpoint'])}, test image {row['image_id']}"
        for row in close.head(SHOWN).to_dict("records")
    ]
    rest = f": {'; '.join(names)}{'; …' if len(close) > SHOWN else ''}." if names else "."
    total = sum(map(len, tables))
    return f"<p class='close-calls'>Close calls (two top logits nearer than {CLOSE:g}): {len(close)} of {total} outcomes{rest}</p>"


def _provenance(run: Run) -> str:
    """What was computed, from which files, on what, and how long it took."""
    rows = [
        ("chapter", run.chapter),
        ("commit", commit()),
        ("profile", f"{run.profile.name}, {run.n_images} images asked for, seed {run.seed}"),
        ("options", json.dumps(run.options, sort_keys=True)),
        ("device", f"{run.device} ({torch.get_num_threads()} threads), torch {torch.__version__}"),
        ("data", run.data.provenance()),
    ]
    rows += [("checkpoint", f"{name}, SHA-256 {REGISTRY[name].sha256[:16]}…") for name in run.models]
    rows += [("not trained yet", name) for name in run.untrained]
    for step in run.steps:
        cached = " (from the cache)" if step["cached"] else ""
        rows.append((step["step"], f"{step['checkpoint']}: {step['n']} images, {step['seconds']:.1f} s{cached}"))
    seconds = sum(step["seconds"] for step in run.steps if step["cached"])
    threads = torch.get_num_threads()
    device = "a GPU" if run.device.type == "cuda" else f"{threads} CPU thread{'s' if threads > 1 else ''}"
    facts = f"class='provenance' data-profile='{html.escape(run.profile.name)}' data-device='{device}' data-cached-seconds='{seconds:.1f}'"
    return unfolded(PROVENANCE, [(html.escape(a), html.escape(b)) for a, b in rows], facts)
