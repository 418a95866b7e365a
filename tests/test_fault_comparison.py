"""The comparison with other clients: its page is that of its results, its arithmetic is fair, and a scene can fail."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from benchmarks.faults import page, rows, scenes
from benchmarks.faults.__main__ import PAGE, RESULTS
from benchmarks.faults.clients import NAMES, OURS, Client, load
from benchmarks.faults.rows import ROWS, Row

RESULT: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8"))
WAIT_S = 30.0


def row(slack: float = 0.0) -> Row:
    return Row(scene="x", fault="", compared="", score=lambda it: it["n"], tell=str, slack=slack)


def named(fault: str) -> Row:
    (found,) = (one for one in ROWS if fault in one.fault)
    return found


def test_the_page_is_that_of_the_results() -> None:
    assert PAGE.read_text(encoding="utf-8") == page.page(RESULT)


def test_every_row_has_its_measures_of_every_client_with_versions() -> None:
    assert {one.scene for one in ROWS} == scenes.SCENES.keys() == RESULT["scenes"].keys()
    assert all(measured.keys() == NAMES.keys() for measured in RESULT["scenes"].values())
    assert {client: set(versions) for client, versions in RESULT["versions"].items()} == {
        client: set(packages) for client, packages in NAMES.items()
    }


def test_the_page_says_by_name_where_a_peer_is_better() -> None:
    text = PAGE.read_text(encoding="utf-8")
    lost = page.behind(RESULT)
    assert all(f"A peer is better where {one.fault}." in text for one in lost)
    assert text.count("| behind |") == len(lost) and ("first or equal in every row" in text) == (not lost)


@pytest.mark.parametrize(
    ("ours", "theirs", "slack", "standing", "best"),
    [
        (1.0, 2.0, 0.0, "first", {OURS}),
        (2.0, 2.0, 0.0, "equal", {OURS, "livekit"}),
        (2.0, 1.5, 1.0, "equal", {OURS, "livekit"}),
        (1.0, 1.5, 1.0, "equal", {OURS, "livekit"}),
        (2.0, 1.5, 0.1, "behind", {"livekit"}),
        (float("inf"), float("inf"), 1.0, "equal", {OURS, "livekit"}),
        (float("inf"), 9.0, 1.0, "behind", {"livekit"}),
    ],
)
def test_a_standing_is_that_against_the_best_of_the_others(
    ours: float, theirs: float, slack: float, standing: str, best: set[str]
) -> None:
    measured = {OURS: {"n": ours}, "livekit": {"n": theirs}}
    assert row(slack).standing(measured) == standing
    assert set(row(slack).best(measured)) == best


def test_a_call_that_is_answered_is_better_than_one_reported_and_that_than_one_answered_wrongly() -> None:
    it = {"ran": 1, "answered": 0, "refused": 0, "spoken_of": False, "orphaned": False, "over": "it broke"}
    ways = [{"answered": 1, "spoken_of": True}, {"orphaned": True}, {}, {"refused": 1}]
    scores = [named("while a tool runs").score({**it, **way}) for way in ways]
    assert scores == sorted(set(scores))
    assert named("while a tool runs").score({**it, "answered": 2, "spoken_of": True}) == scores[-1]


def test_a_session_that_forgot_everything_is_worse_than_a_late_one_and_better_than_none() -> None:
    it = {"back_s": 0.1, "items": 2, "of": 2, "answers": True, "over": ""}
    ways = [{}, {"back_s": 9.0}, {"items": 0}, {"back_s": None, "items": 0, "answers": False}]
    scores = [named("closes with 1001").score({**it, **way}) for way in ways]
    assert scores == sorted(set(scores))


def test_texts_that_are_known_are_counted_as_often_as_they_are_wanted() -> None:
    assert scenes._found(["a", "a", "b"], ["x", "a", "b", "b"]) == 2


def test_handshakes_are_early_until_the_server_wants_them() -> None:
    assert scenes._early([7.0]) == 0
    assert scenes._early([7.0, 7.1, 8.0, 7.0 + scenes.ASKED_TO_WAIT_S]) == 2


@pytest.mark.parametrize("scene", ["malformed", "unknown"])
async def test_a_scene_runs_with_this_package_and_finds_a_session_that_goes_on(scene: str) -> None:
    async with asyncio.timeout(WAIT_S):
        measures = await scenes.SCENES[scene](load(OURS))
    assert measures == {"told": True, "answered": True, "sessions": 1, "over": ""}
    assert rows._odd(measures) == 0


async def test_a_client_that_does_not_go_on_loses_its_scene(monkeypatch: pytest.MonkeyPatch) -> None:
    ours: Any = load(OURS)

    class Mute(ours):
        async def ask(self, text: str) -> None:
            self._told.note("over", "I said nothing")

    mute: type[Client] = Mute
    monkeypatch.setattr(scenes, "ANSWER_S", 0.05)
    async with asyncio.timeout(WAIT_S):
        measures = await scenes.malformed(mute)
    assert not measures["answered"] and rows._odd(measures) == 2
