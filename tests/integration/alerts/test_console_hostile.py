"""Forms nobody's browser sends: refused in words, never a failure of ours."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from fix_alerts import County
from fix_console import Site

pytestmark = pytest.mark.postgres


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("/console/alarms/99999999999999999999/acknowledge", {"version": "1"}),
        ("/console/alarms/acknowledge", {"alarm": "99999999999999999999:1"}),
        ("/console/quiet/end", {"points": "9" * 5000 + ":*"}),
        ("/console/zone/yanling-chill/quiet", {"act": "room_empty", "note": "a\x00b"}),
        ("/console/zone/anren-frozen/quiet", {"act": "room_empty", "note": "a neighbour's"}),
        ("/console/handover", {"site": "yanling-store", "body": "x\x00y"}),
        ("/console/handover", {"site": "anren-store", "body": "a neighbour's"}),
    ],
)
def test_form_that_cannot_be_meant_is_refused(county: County, console: Site, path: str, data: dict[str, str]) -> None:
    with TestClient(console.app, headers={"accept": "text/html"}, raise_server_exceptions=False) as client:
        assert client.post(path, data=data, follow_redirects=False).status_code in {400, 404, 422}


def test_form_sends_people_nowhere_but_into_the_console(county: County, console: Site) -> None:
    for back in ("//evil.example", "https://evil.example", "/\\evil.example", "/console\\evil"):
        with TestClient(console.app, headers={"accept": "text/html"}) as client:
            form = {"act": "room_empty", "note": "n", "back": back}
            county.query("DELETE FROM alerts.suppression")
            answer = client.post("/console/zone/yanling-chill/quiet", data=form, follow_redirects=False)
            assert answer.headers["location"] == "/console/zone/yanling-chill"


def test_number_beyond_every_key_is_no_alarm(county: County, console: Site) -> None:
    with TestClient(console.app, headers={"accept": "text/html"}, raise_server_exceptions=False) as client:
        assert client.get("/console/alarms/99999999999999999999").status_code == 404
