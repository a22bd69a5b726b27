"""How fast a running system answers shoppers, and how much their phones download.

    .venv/bin/python -P benchmarks/consumer_page.py [--url http://127.0.0.1:8077] [--lot /01/…/10/…] [--seconds 5]
        [--clients 4] [--json]

Without `--lot` it takes the lot the front page offers. Clients keep their connection open and ask for page after page,
as a burst of scans of one lot does. Times are those the clients see; client and server share the machine. The last
lines list everything a first visit downloads, as it is and by gzip.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import re
import statistics
import threading
import time
from urllib.parse import quote, urljoin, urlsplit

SCRIPTS = re.compile(r'(?:src|href)="(/static/[^"]+)"')
IMPORTS = re.compile(r'^import [^"]*"(\./[^"]+)"', re.MULTILINE)


class Client:
    """One phone: a kept connection to the server."""

    def __init__(self, url: str) -> None:
        """Connect to the server at `url`."""
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=30)

    def get(self, path: str, *, packed: bool = True) -> bytes:
        """Return the body of `path` as it is sent."""
        headers = {"Accept": "text/html,*/*", "Accept-Language": "zh-CN"}
        self._connection.request("GET", path, headers=headers | ({"Accept-Encoding": "gzip"} if packed else {}))
        answer = self._connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            raise SystemExit(f"{path}: {answer.status} {body[:200]!r}")
        return body


def burst(url: str, path: str, clients: int, seconds: float) -> dict[str, float]:
    """Ask for `path` from `clients` at once for `seconds`; return answers a second and times in milliseconds."""
    times: list[float] = []
    end = time.perf_counter() + seconds

    def ask() -> None:
        client = Client(url)
        while (begun := time.perf_counter()) < end:
            client.get(path)
            times.append((time.perf_counter() - begun) * 1000)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    cuts = statistics.quantiles(times, n=100)
    return {
        "per_s": round(len(times) / seconds, 1),
        "p50_ms": round(cuts[49], 1),
        "p95_ms": round(cuts[94], 1),
        "max_ms": round(max(times), 1),
    }


def weights(url: str, lot: str, size: str) -> dict[str, tuple[int, int]]:
    """Return bytes of everything a first visit downloads, (as it is, by gzip), by path."""
    client = Client(url)
    page = client.get(lot, packed=False)
    found = {lot: page, f"/label{lot}.svg": client.get(f"/label{lot}.svg", packed=False)}
    waiting = SCRIPTS.findall(page.decode())
    while waiting:
        path = waiting.pop()
        if path not in found:
            found[path] = client.get(path, packed=False)
            waiting += [urljoin(path, name) for name in IMPORTS.findall(found[path].decode())]
    proof = f"/trace/bundle?lot={quote('https://id.gs1.org' + lot, safe='')}&size={size}"
    found[proof] = client.get(proof, packed=False)
    return {path: (len(body), len(gzip.compress(body, 6))) for path, body in found.items()}


def main() -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8077", help="base URL of the running system")
    parser.add_argument("--lot", help="path of a lot's page")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each burst")
    parser.add_argument("--clients", type=int, default=4, help="phones at once in a burst")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    lot = given.lot
    if lot is None:
        offered = re.search(r'href="([^"]+)" id="try"', Client(given.url).get("/", packed=False).decode())
        if offered is None:
            raise SystemExit("the front page offers no lot yet: wait, or name one by --lot")
        lot = offered[1]
    begun = time.perf_counter()
    page = Client(given.url).get(lot, packed=False).decode()
    first_ms = (time.perf_counter() - begun) * 1000
    size = re.findall(r'data-size="(\d+)"', page)[0]
    proof = f"/trace/bundle?lot={quote('https://id.gs1.org' + lot, safe='')}&size={size}"
    result = {
        "lot": lot,
        "first_page_ms": round(first_ms, 1),
        "page_alone": burst(given.url, lot, 1, given.seconds),
        "page_burst": burst(given.url, lot, given.clients, given.seconds),
        "proof_burst": burst(given.url, proof, given.clients, given.seconds),
        "bytes": weights(given.url, lot, size),
    }
    if given.json:
        print(json.dumps(result, ensure_ascii=False))
        return
    for name, value in result.items():
        if name != "bytes":
            print(f"{name:14} {value}")
    total = [0, 0]
    for path, (plain, packed) in result["bytes"].items():
        print(f"{plain:9,} {packed:9,}  {path.partition('&')[0][:90]}")
        total = [total[0] + plain, total[1] + packed]
    print(f"{total[0]:9,} {total[1]:9,}  in all")


if __name__ == "__main__":
    main()
