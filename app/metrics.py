"""Figures for Prometheus: what the database knows, and what each process counts about itself.

`GET /metrics` of the web role answers in the text format. Accounts, gaps, alarms and the log are read from the database
when asked, so they are the same on every machine and after any restart. What a process alone knows (batch sizes, times,
requests) comes from files the processes under one `hanlu up` share, or, for a role run by itself, from a port of its
own (`hanlu run ROLE --metrics-port`).

Nobody signs in here: a scraper shows the token of `metrics.token`. Without one only a program on this machine is
answered, and nobody where a proxy stands before us (`web.public_url`).
Source: Prometheus text exposition format 0.0.4; metric and label naming, prometheus.io/docs/practices/naming.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import REGISTRY, Collector
from psycopg.rows import dict_row
from starlette.concurrency import run_in_threadpool
from starlette.responses import PlainTextResponse, Response

from hanlu.core.errors import HanluError
from hanlu.db.pool import Pool, translated
from hanlu.db.queries import load_queries

__all__ = ["DatabaseFigures", "metrics_router"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_FATES: Final = ("produced", "stored", "duplicate", "lost", "dead", "redelivered")
_FORWARDED: Final = ("forwarded", "x-forwarded-for", "x-real-ip")
_QUERIES = load_queries("hanlu.app")


class DatabaseFigures(Collector):
    """What the database says at this moment; a part of it that does not answer is left out and told by `hanlu_up`."""

    def __init__(self, pools: Mapping[str, Pool]) -> None:
        """Read through the pools of two rooms, `alerts` and `trace`, each seeing its own."""
        self._pools = pools

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        up = GaugeMetricFamily("hanlu_up", "Whether this part of the database answered.", labels=["part"])
        for part, room, query, families in (
            ("telemetry", "alerts", "metrics_gateways", _gateway_families),
            ("dead_letters", "alerts", "metrics_letters", _letter_families),
            ("rollup", "alerts", "metrics_rollup", _rollup_families),
            ("alarms", "alerts", "metrics_alarms", _alarm_families),
            ("trace", "trace", "metrics_trace", _trace_families),
        ):
            try:
                rows = self._rows(room, query)
            except HanluError:
                up.add_metric([part], 0)
                continue
            up.add_metric([part], 1)
            yield from families(rows)
        yield up

    def _rows(self, room: str, query: str) -> list[dict[str, Any]]:
        with translated(), self._pools[room].connection(timeout=2.0) as connection:
            return connection.cursor(row_factory=dict_row).execute(_QUERIES[query]).fetchall()


def metrics_router(pools: Mapping[str, Pool], token: str | None, shared: Path | None, *, proxied: bool) -> APIRouter:
    """Return the route `/metrics`.

    Args:
        pools: of the rooms.
        token: what a scraper must show as a bearer; None admits programs on this machine only.
        shared: folder of the processes' figures; None: this process's own only.
        proxied: we are reached through a proxy on this machine, so that everybody seems to be on it: without a token
            nobody is answered.
    """
    router = APIRouter()
    registry = CollectorRegistry()
    registry.register(DatabaseFigures(pools))
    if shared is not None:
        MultiProcessCollector(registry, path=str(shared))  # type: ignore[no-untyped-call]

    def text() -> bytes:
        own = b"" if shared is not None else generate_latest(REGISTRY)
        return generate_latest(registry) + own

    @router.get("/metrics")
    async def metrics(request: Request) -> Response:
        if not _admitted(request, token, proxied=proxied):
            return PlainTextResponse(
                "metrics: show the token of metrics.token as a bearer; without one, ask from this machine\n",
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        return Response(await run_in_threadpool(text), media_type=CONTENT_TYPE)

    return router


def _admitted(request: Request, token: str | None, *, proxied: bool) -> bool:
    if token is not None:
        shown = request.headers.get("authorization", "").removeprefix("Bearer ")
        return hmac.compare_digest(shown.encode(), token.encode())
    if proxied or any(name in request.headers for name in _FORWARDED) or request.client is None:
        return False
    try:
        return ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def _gateway_families(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    readings = CounterMetricFamily(
        "hanlu_gateway_readings", "Readings by fate: produced = stored + duplicate + lost + dead + outstanding.",
        labels=["gateway", "fate"],
    )  # fmt: skip
    throttled = CounterMetricFamily(
        "hanlu_gateway_throttled_messages", "Signed messages left out because the gateway sent more than it may.",
        labels=["gateway"],
    )  # fmt: skip
    gauges = {
        "outstanding": GaugeMetricFamily(
            "hanlu_gateway_outstanding_readings", "Readings produced and not yet accounted for.", labels=["gateway"]
        ),
        "missing": GaugeMetricFamily(
            "hanlu_gateway_missing_messages", "Messages below the highest seen that have not arrived.",
            labels=["gateway"],
        ),
        "online": GaugeMetricFamily("hanlu_gateway_online", "Whether the gateway is heard.", labels=["gateway"]),
        "last_seen": GaugeMetricFamily(
            "hanlu_gateway_last_seen_timestamp_seconds", "When the gateway was last heard, Unix time.",
            labels=["gateway"],
        ),
    }  # fmt: skip
    for row in rows:
        for fate in _FATES:
            readings.add_metric([row["code"], fate], row[fate])
        throttled.add_metric([row["code"]], row["throttled"])
        for name, gauge in gauges.items():
            if row[name] is not None:
                gauge.add_metric([row["code"]], float(row[name]))
    yield readings
    yield throttled
    yield from gauges.values()


def _letter_families(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    letters = GaugeMetricFamily(
        "hanlu_dead_letters", "Messages in dead letters that are open; no gateway: of a name that none has.",
        labels=["gateway", "reason"],
    )  # fmt: skip
    for row in rows:
        letters.add_metric([row["gateway"], row["reason"]], row["messages"])
    yield letters


def _rollup_families(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    for row in rows:
        yield GaugeMetricFamily(
            "hanlu_rollup_due_hours", "Hours of channels due to be rolled up, at most 100,000.", value=row["due_hours"]
        )
        yield GaugeMetricFamily(
            "hanlu_rollup_lag_seconds", "For how long the oldest of them is due.", value=row["lag_s"]
        )


def _alarm_families(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    alarms = GaugeMetricFamily(
        "hanlu_alarms", "Alarms that are not normal.", labels=["process_state", "suppression_state", "priority"]
    )
    lag = GaugeMetricFamily("hanlu_alarm_lag_seconds", "Age of the oldest arrival the alarm engine has not judged.")
    for row in rows:
        for process_state, suppression_state, priority, count in row["states"]:
            alarms.add_metric([process_state, suppression_state, str(priority)], count)
        lag.add_metric([], row["lag_s"])
    yield alarms
    yield lag


def _trace_families(rows: Iterable[Mapping[str, Any]]) -> Iterator[Metric]:
    for row in rows:
        yield CounterMetricFamily("hanlu_trace_events", "Events captured.", value=row["events"])
        yield GaugeMetricFamily("hanlu_log_leaves", "Leaves under the newest checkpoint.", value=row["leaves"])
        yield GaugeMetricFamily("hanlu_log_anchored_leaves", "Leaves the chain vouches for.", value=row["anchored"])
        for name, words in (("signed_at", "signed"), ("anchored_at", "anchored")):
            if row[name] is not None:
                yield GaugeMetricFamily(
                    f"hanlu_log_{words}_timestamp_seconds", f"When a checkpoint was last {words}.", value=row[name]
                )
