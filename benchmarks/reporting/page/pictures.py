"""Generated images beside real ones, client by client, and who holds which labels."""

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.reporting.frames import groups
from benchmarks.reporting.names import number
from benchmarks.reporting.page.context import Context
from benchmarks.reporting.page.sources import FOLDER
from benchmarks.reporting.shown import Pictures, shown_pictures
from benchmarks.running.pictures import SERVER
from benchmarks.texts import one_line

MOST_BYTES = 3_000_000
"""Of all images of a page as text; the generators beyond it are named."""

SHOWN_LABELS = 12
"""Classes that a client's line names; the others are counted."""

CLASS_COLUMNS = 200
"""Classes that a heat map has columns for."""

FACTS = {
    "classes_covered": "covers {:.0%} of the classes",
    "duplicate_ratio": "{:.1%} near-duplicates",
    "fid_domain": "FID (domain) {:.3g}",
    "fid_domain_floor": "real against real {:.3g}",
}
"""Columns that say how good all of a cell's generated images are, and their texts."""


CLIENT_FACTS = {
    "client_coverage": "draws {:.0%} of its classes",
    "client_own_share": "{:.0%} of its images are of its classes",
    "client_duplicates": "{:.0%} near-duplicates",
    "client_nearest_real": "nearest real image at {:.2f}",
}
"""Columns with a value per client, separated by spaces, and their texts."""


def partitions(context: Context) -> dict[str, Any]:
    """A heat map of each partition: clients by classes, the darker the more images."""
    maps = []
    counts = sorted(context.partition_counts.items(), key=lambda item: str(item[0]))
    for (dataset, n_clients, omega), table in counts:
        shown = table[:, :CLASS_COLUMNS]
        largest = max(int(shown.max()), 1)
        rows = []
        for client, row in enumerate(shown):
            cells = [(int(n), _shade(int(n), largest)) for n in row]
            rows.append({"client": client, "cells": cells, "total": int(table[client].sum())})
        maps.append(
            {
                "name": one_line(f"{dataset}, {n_clients} clients"),
                "dataset": dataset,
                "omega": number(omega),
                "omega_text": context.omega_names[omega],
                "n_classes": shown.shape[1],
                "hidden": table.shape[1] - shown.shape[1],
                "rows": rows,
            }
        )
    return {"maps": maps}


def _shade(n: int, largest: int) -> float:
    """0 for none, else 0.15 to 1 on a log scale: a class of 20 images must not look empty."""
    if n == 0:
        return 0.0
    return round(0.15 + 0.85 * float(np.log1p(n) / np.log1p(largest)), 2)


def pictures(context: Context) -> dict[str, Any]:
    """Each set of generators with a row per client, and the names of those left out for size."""
    sets = []
    left_out = []
    used = 0
    for (folder,), rows in groups(context.in_figures.records, [FOLDER]):
        for images in shown_pictures(rows, Path(folder)):
            made = _set(context, images)
            size = sum(len(client["generated"]) + len(client["real"]) for client in made["clients"])
            if used + size > MOST_BYTES:
                left_out.append(f"{made['names']} on {made['where']}")
                continue
            used += size
            sets.append(made)
    return {"sets": sets, "left_out": left_out}


def _set(context: Context, images: Pictures) -> dict[str, Any]:
    row = images.row
    setting = (row["dataset"], row["n_clients"], row["widths"])
    labels = context.partition_counts.get((row["dataset"], row["n_clients"], row["omega"]))
    clients = []
    for i, client in enumerate(images.clients.tolist()):
        real = images.real[i] if images.real.size else None
        held = None if labels is None or client == SERVER else labels[client]
        clients.append(
            {
                "name": "server" if client == SERVER else f"client {client}",
                "labels": "" if held is None else _held(held),
                "facts": "" if client == SERVER else _facts_of(row, client),
                "generated": _strip(images.generated[i]),
                "real": "" if real is None else _strip(real),
            }
        )
    facts = []
    for column, text in FACTS.items():
        value = row.get(column)
        if isinstance(value, int | float) and not math.isnan(value):
            facts.append(text.format(value))
    omega = context.omega_names[row["omega"]]
    return {
        "names": ", ".join(context.methods[label].name for label in images.labels),
        "labels": json.dumps(images.labels),
        "where": f"{context.name_of(setting)}, {omega}, seed {row['seed']}",
        "dataset": row["dataset"],
        "widths": row["widths"],
        "omega": number(row["omega"]),
        "facts": "; ".join(facts),
        "clients": clients,
    }


def _facts_of(row: dict[str, Any], client: int) -> str:
    """What is known of one client's generated images."""
    texts = []
    for column, text in CLIENT_FACTS.items():
        values = str(row.get(column)).split()  # a single value may have been read as a number
        if client < len(values) and values[client] not in ("nan", "None"):
            texts.append(text.format(float(values[client])))
    return "; ".join(texts)


def _held(counts: np.ndarray) -> str:
    """The classes of a client, those with the most images first, e.g. "3 (120), 7 (4)"."""
    order = [int(k) for k in np.argsort(-counts, kind="stable") if counts[k] > 0]
    text = ", ".join(f"{k} ({counts[k]})" for k in order[:SHOWN_LABELS])
    more = len(order) - SHOWN_LABELS
    return f"{text} and {more} more" if more > 0 else text


def _strip(images: np.ndarray) -> str:
    """Images (M, C, H, W), uint8, as one data URL: large colour ones as WebP, else PNG."""
    m, channels, height, width = images.shape
    across = min(m, 8)
    down = -(-m // across)
    sheet = np.zeros((down * across, channels, height, width), dtype=np.uint8)
    sheet[:m] = images
    sheet = sheet.reshape(down, across, channels, height, width)
    sheet = sheet.transpose(0, 3, 1, 4, 2).reshape(down * height, across * width, channels)
    grey = channels == 1
    picture = Image.fromarray(sheet[:, :, 0] if grey else sheet)
    content = io.BytesIO()
    kind = "png" if grey or height <= 16 else "webp"
    picture.save(content, kind, **({"optimize": True} if kind == "png" else {"quality": 80}))
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
