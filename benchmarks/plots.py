"""The pictures of a tournament: throughput, latency and what is left of it under overload."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from benchmarks.entry_list import (
    BENTOML,
    DEFAULT,
    HANDWRITTEN,
    LITSERVE,
    OPENVINO_FLOAT32,
    RAY_SERVE,
    TENSORFLOW,
    TRITON_FILES,
    TRITON_TENSORS,
)
from benchmarks.report import Spread
from benchmarks.visits import TITLES, Tournament

# Okabe and Ito's colours, which colour-blind people can tell apart; ours are one family.
STYLES: dict[str, dict[str, Any]] = {
    DEFAULT: {"color": "#D55E00", "marker": "o", "linewidth": 2.6},
    OPENVINO_FLOAT32: {"color": "#D55E00", "marker": "o", "linestyle": "--", "fillstyle": "none"},
    TENSORFLOW: {"color": "#D55E00", "marker": "o", "linestyle": ":", "fillstyle": "none"},
    HANDWRITTEN: {"color": "#000000", "marker": "s"},
    LITSERVE: {"color": "#0072B2", "marker": "^"},
    BENTOML: {"color": "#CC79A7", "marker": "D"},
    RAY_SERVE: {"color": "#56B4E9", "marker": "v"},
    TRITON_TENSORS: {"color": "#009E73", "marker": "P"},
    TRITON_FILES: {"color": "#009E73", "marker": "X", "linestyle": "--"},
}
_RC: Any = {
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "savefig.facecolor": "white",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "font.size": 11,
    "lines.markersize": 6,
}
_DPI = 110


def draw(tournament: Tournament, folder: Path) -> dict[str, str]:
    """Draw everything there are figures for.

    Returns:
        Title by file name, relative to the folder above ``folder``.
    """
    drawn: dict[str, str] = {}
    with plt.rc_context(_RC):
        for model in tournament.models:
            title = TITLES.get(model, model)
            for name, make, text in (
                ("throughput", _throughput, "images per second by number of clients"),
                ("latency", _latency, "latency by number of clients"),
                ("overload", _overload, "answers in time by offered rate"),
            ):
                figure = make(tournament, model)
                if figure is None:
                    continue
                file = folder / f"{name}-{model}.png"
                figure.savefig(file, dpi=_DPI, bbox_inches="tight", metadata={"Software": ""})
                plt.close(figure)
                drawn[f"{folder.name}/{file.name}"] = f"{title}: {text}"
    return drawn


def _line(axes: Any, name: str, points: list[tuple[float, Spread]]) -> None:
    known = [(x, spread) for x, spread in points if not math.isnan(spread.middle)]
    if not known:
        return
    style = {"linewidth": 1.6, **STYLES[name]}
    xs = [x for x, _ in known]
    axes.plot(xs, [s.middle for _, s in known], label=name, **style)
    lows, highs = [s.least for _, s in known], [s.most for _, s in known]
    axes.fill_between(xs, lows, highs, color=style["color"], alpha=0.10, linewidth=0)


def _client_axis(axes: Any, clients: list[int]) -> None:
    axes.set_xscale("log", base=2)
    axes.set_xticks(clients, [str(n) for n in clients])
    axes.minorticks_off()
    axes.set_xlabel("clients in a closed loop")


def _clients(tournament: Tournament, model: str) -> list[int]:
    return sorted({n for v in tournament.visits if v.model == model for n in v.closed})


def _lines_by_clients(
    axes: Any, tournament: Tournament, model: str, figure: str, scale: str
) -> None:
    clients = _clients(tournament, model)
    for name in tournament.contestants:
        _line(
            axes,
            name,
            [(n, tournament.closed(model, name, n, figure)) for n in clients],
        )
    axes.set_yscale(scale)
    _client_axis(axes, clients)


def _throughput(tournament: Tournament, model: str) -> Any:
    figure, axes = plt.subplots(figsize=(8.6, 4.8))
    _lines_by_clients(axes, tournament, model, "images_per_s", "linear")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    axes.set_title(f"{TITLES.get(model, model)}: images per second", loc="left")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def _latency(tournament: Tournament, model: str) -> Any:
    figure, both = plt.subplots(1, 2, figsize=(11.5, 4.8), sharey=True)
    for axes, name, title in zip(both, ("p50_ms", "p99_ms"), ("p50", "p99"), strict=True):
        _lines_by_clients(axes, tournament, model, name, "log")
        axes.set_title(f"{TITLES.get(model, model)}: {title}, ms", loc="left")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    both[1].legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.tight_layout()
    return figure


def _overload(tournament: Tournament, model: str) -> Any:
    multiples = sorted({m for v in tournament.visits if v.model == model for m in v.open})
    if not multiples:
        return None
    figure, (absolute, relative) = plt.subplots(1, 2, figsize=(11.5, 4.8))
    for name in tournament.contestants:
        capacity = tournament.figure(model, name, "capacity_per_s").middle
        found = [(m, tournament.open(model, name, m, "in_deadline_per_s")) for m in multiples]
        offered = [tournament.open(model, name, m, "offered_per_s").middle for m in multiples]
        _line(absolute, name, [(x, s) for x, (_, s) in zip(offered, found, strict=True)])
        _line(relative, name, [(m, _scaled(s, capacity)) for m, s in found])
    absolute.set_xscale("log")
    absolute.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    absolute.xaxis.set_minor_locator(NullLocator())
    for axis in (absolute.xaxis, absolute.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    absolute.set_xlabel("requests offered per second")
    absolute.set_title(f"{TITLES.get(model, model)}: answers in time per second", loc="left")
    relative.axhline(1.0, color="#999999", linewidth=1)
    relative.set_xlabel("requests offered, as a multiple of the server's capacity")
    relative.set_title("the same, as a share of its capacity", loc="left")
    for axes in (absolute, relative):
        axes.set_ylim(bottom=0)
    relative.legend(loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    figure.tight_layout()
    return figure


def _scaled(spread: Spread, by: float) -> Spread:
    return Spread(spread.middle / by, spread.least / by, spread.most / by)
