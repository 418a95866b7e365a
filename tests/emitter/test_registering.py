"""Registering: names that forgive, signatures that are refused early, and pyee's habits."""

from __future__ import annotations

import asyncio
import functools
from typing import Any

import pyee
import pytest

from realtime_events import ConfigurationError, Plugin, Realtime
from realtime_events.events import (
    ConversationItemAdded,
    InputAudioBufferSpeechStarted,
    Item,
    ResponseDone,
    ResponseOutputAudioDelta,
    ResponseOutputAudioDone,
    ResponseOutputTextDelta,
    TurnDone,
)
from realtime_events.testing import Peer

TEXT = ResponseOutputTextDelta(response_id="r", item_id="i", delta="hi")
SPEECH = InputAudioBufferSpeechStarted(item_id="u", audio_start_ms=0)


async def heard_by(rt: Realtime, *events: Any, **options: Any) -> None:
    """Let a peer say events, and wait until the last of them has been through."""
    peer = Peer(**options)
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(*events, SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")


def test_the_application_is_a_real_pyee_emitter() -> None:
    assert isinstance(Realtime(), pyee.EventEmitter)


@pytest.mark.parametrize("dialect", ["ga", "beta"])
@pytest.mark.parametrize(
    "name",
    [
        "response.output_text.delta",
        "response.text.delta",
        "response.*.delta",
        "response.text.*",
        "*",
        ResponseOutputTextDelta,
    ],
)
async def test_every_spelling_reaches_the_same_handler_whatever_the_server_speaks(name: Any, dialect: str) -> None:
    """B05."""
    rt, seen = Realtime(), []
    rt.on(name, seen.append)
    await heard_by(rt, TEXT, dialect=dialect)
    assert [type(event) for event in seen if getattr(event, "delta", None) == "hi"] == [ResponseOutputTextDelta]


async def test_a_beta_item_arrives_as_added_and_a_finished_one_as_done_at_once() -> None:
    rt, seen = Realtime(), []
    rt.on("conversation.item.*", seen.append)
    item = Item(id="item_1", type="message", role="user", status="completed", content=[])
    await heard_by(rt, ConversationItemAdded(item=item), dialect="beta")
    assert [event.type for event in seen] == ["conversation.item.added", "conversation.item.done"]


async def test_a_ga_servers_own_created_counts_as_added_unless_the_item_is_known() -> None:
    rt, seen = Realtime(), []
    rt.on("conversation.item.created", seen.append)
    item = {"id": "item_1", "type": "message", "role": "user", "content": []}
    created = {"type": "conversation.item.created", "event_id": "e", "item": item}
    await heard_by(rt, created, created, {**created, "type": "conversation.item.added"})
    assert [type(event) for event in seen] == [ConversationItemAdded, ConversationItemAdded]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("response.text.dleta", "response.text.delta"),
        ("respose.done", "response.done"),
        ("conection.lost", "connection.lost"),
        ("input_audio_buffer.speech_start", "input_audio_buffer.speech_started"),
    ],
)
def test_a_misspelt_name_is_refused_with_the_nearest(name: str, meant: str) -> None:
    """B05."""
    with pytest.raises(ConfigurationError, match="did you mean") as refused:
        Realtime().on(name, print)
    assert repr(name) in str(refused.value) and repr(meant) in str(refused.value)


async def test_a_misspelt_name_is_refused_by_waits_and_streams_too() -> None:
    """B05."""
    rt, peer = Realtime(), Peer()
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        with pytest.raises(ConfigurationError, match="did you mean 'response.done'"):
            await session.wait_for("respnse.done")
        with pytest.raises(ConfigurationError, match="did you mean 'response.done'"):
            session.stream("respnse.done")


def test_a_glob_that_matches_no_event_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no event matches the glob"):
        Realtime().on("respnse.*", print)


async def test_names_of_the_applications_own_begin_with_app() -> None:
    rt, peer, seen = Realtime(), Peer(), []
    rt.on("app.tick", lambda payload, session: seen.append((payload, session.id)))
    rt.on("app.*", lambda payload: seen.append(payload))
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        assert session.emit("app.tick", 7) is True
        assert session.emit("app.tock", 8) is True
        while len(seen) < 3:
            await asyncio.sleep(0)
    assert seen == [(7, "sess_memory"), 7, 8]


async def test_emitting_to_the_application_belongs_to_no_session() -> None:
    rt, seen = Realtime(), []
    rt.on("app.tick", seen.append)
    assert rt.emit("app.tick", 1) is True and rt.emit("app.tock", 1) is False
    while not seen:
        await asyncio.sleep(0)
    assert seen == [1]
    rt.on("app.tick", lambda payload, session: None)
    with pytest.raises(ConfigurationError, match="asks for a session"):
        rt.emit("app.tick", 2)


async def test_a_bare_on_reads_the_class_from_the_annotation() -> None:
    rt, seen = Realtime(), []

    @rt.on
    async def one(event: ResponseOutputTextDelta) -> None:
        seen.append(("one", event.type))

    @rt.on
    def either(event: ResponseOutputTextDelta | InputAudioBufferSpeechStarted) -> None:
        seen.append(("either", event.type))

    await heard_by(rt, TEXT)
    assert sorted(seen) == [
        ("either", "input_audio_buffer.speech_started"),
        ("either", "response.output_text.delta"),
        ("one", "response.output_text.delta"),
    ]


def test_a_bare_on_without_an_annotation_says_what_to_write() -> None:
    with pytest.raises(ConfigurationError, match="annotate it with an event class"):

        @Realtime().on
        def handler(event) -> None:  # type: ignore[no-untyped-def]
            ...


def no_parameter() -> None: ...
def three(a: Any, b: Any, c: Any) -> None: ...
def named_only(event: Any, *, needed: int) -> None: ...
async def yielding(event: Any) -> Any:
    yield event


@pytest.mark.parametrize("wrong", [no_parameter, three, named_only, yielding])
def test_a_wrong_signature_is_refused_with_file_and_line(wrong: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        Realtime().on("response.done", wrong)
    assert f"test_registering.py:{wrong.__code__.co_firstlineno}" in str(refused.value)


@pytest.mark.parametrize("wrong", [42, None, object()])
def test_what_cannot_be_called_is_no_handler(wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        Realtime().on("response.done", wrong)


def test_wrong_options_are_refused_where_they_are_written() -> None:
    rt = Realtime()
    with pytest.raises(ConfigurationError, match="none of ordered, concurrent"):
        rt.on("response.done", print, delivery="eventually")  # type: ignore[call-overload]
    with pytest.raises(ConfigurationError, match="leaves no room"):
        rt.on("response.done", print, max_pending=0)

    async def asynchronous(event: Any) -> None: ...

    with pytest.raises(ConfigurationError, match="plain function"):
        rt.on("response.done", asynchronous, delivery="inline")


async def test_registering_gives_the_function_back_and_off_removes_it() -> None:
    rt, seen = Realtime(), []

    @rt.on("response.text.delta")
    def handler(event: Any) -> None:
        seen.append(event.delta)

    assert rt.listeners("response.output_text.delta") == [handler]
    assert rt.event_names() == {"response.output_text.delta"}
    rt.off("response.text.delta", handler)
    rt.off("response.text.delta", handler)
    assert rt.listeners("response.text.delta") == [] and rt.event_names() == set()
    await heard_by(rt, TEXT)
    assert seen == []


def test_pyees_own_names_for_it_work_too() -> None:
    rt, added = Realtime(), []
    rt.on("new_listener", lambda name, fn: added.append(name))
    rt.add_listener("response.done", print)
    rt.listens_to("response.created")(print)
    assert added == ["response.done", "response.created"]
    rt.remove_listener("response.done", print)
    assert rt.listeners("response.done") == []
    rt.remove_all_listeners("response.created")
    assert rt.listeners("response.created") == []
    rt.on("response.done", print)
    rt.remove_all_listeners()
    assert rt.event_names() == set()


async def test_the_same_function_registered_twice_is_two_handlers() -> None:
    rt, seen = Realtime(), []
    rt.on("response.text.delta", seen.append)
    rt.on("response.text.delta", seen.append)
    await heard_by(rt, TEXT)
    assert len(seen) == 2


async def test_several_targets_share_one_lane_and_an_event_matched_twice_arrives_once() -> None:
    rt, seen = Realtime(), []
    rt.on("response.*", "response.text.delta", ResponseOutputTextDelta, ["*.delta"], seen.append)
    await heard_by(rt, TEXT)
    assert seen == [TEXT]


async def test_once_means_once_in_the_whole_application() -> None:
    rt, seen = Realtime(), []
    rt.once("response.text.delta", seen.append)
    await heard_by(rt, TEXT, TEXT)
    await heard_by(rt, TEXT)
    assert len(seen) == 1


async def test_once_waits_for_the_first_event_that_fits() -> None:
    rt, seen = Realtime(), []
    rt.once("response.text.delta", seen.append, when=lambda event: event.delta == "b")
    events = [ResponseOutputTextDelta(response_id="r", item_id="i", delta=letter) for letter in "abbc"]
    await heard_by(rt, *events)
    assert [event.delta for event in seen] == ["b"]


async def test_a_predicate_that_raises_is_a_failure_of_its_handler() -> None:
    rt, seen, failures = Realtime(), [], []
    rt.on("response.text.delta", seen.append, when=lambda event: event.no_such_field)
    rt.on("handler.failed", failures.append)
    await heard_by(rt, TEXT)
    assert seen == [] and isinstance(failures[0].error, AttributeError)


async def test_a_handler_registered_while_a_session_runs_hears_what_comes_after() -> None:
    rt, peer, seen = Realtime(), Peer(), []
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False) as session:
        peer.say(TEXT)
        await session.wait_for("response.text.delta")
        rt.on("response.text.delta", seen.append)
        peer.say(TEXT, SPEECH)
        await session.wait_for("input_audio_buffer.speech_started")
    assert len(seen) == 1


async def test_partials_are_named_by_what_they_wrap() -> None:
    rt, seen = Realtime(), []

    async def handler(how: str, event: Any) -> None:
        seen.append((how, event.delta))

    rt.on("response.text.delta", functools.partial(handler, "partial"))
    await heard_by(rt, TEXT)
    assert seen == [("partial", "hi")]


async def test_a_plugin_brings_its_handlers_tools_and_middlewares() -> None:
    rt, order = Realtime(), []
    plugin = Plugin(prefix="math_")

    @plugin.tool
    async def double(number: int) -> int:
        """Double a number."""
        return number * 2

    @plugin.use
    async def around(event: Any, session: Any, call_next: Any) -> None:
        order.append("plugin")
        await call_next(event)

    plugin.on("response.text.delta", lambda event: order.append("heard"))
    rt.on("response.text.delta", lambda event: order.append("other"))
    rt.include(plugin)
    await heard_by(rt, TEXT)
    assert sorted(order) == ["heard", "other", "plugin"] and order.index("plugin") < order.index("heard")
    assert [tool.name for tool in rt.tools] == ["math_double"]


async def test_a_plugin_is_set_up_before_connect_returns_and_closed_with_the_session() -> None:
    steps: list[str] = []

    class Memory(Plugin):
        async def setup(self, session: Any) -> None:
            steps.append(f"setup {session.id}")

        def close(self, session: Any) -> None:
            steps.append("close")

    rt, peer = Realtime(), Peer()
    rt.include(Memory())
    async with asyncio.timeout(5), rt.connect(endpoint=peer.endpoint, dial=peer.dial, reconnect=False):
        assert steps == ["setup sess_memory"]
    assert steps == ["setup sess_memory", "close"]


def test_two_tools_of_one_name_are_refused_with_both_places() -> None:
    rt, plugin = Realtime(), Plugin()

    @rt.tool
    def look_up(word: str) -> str:
        """Look up."""
        return word

    first = look_up.__code__.co_firstlineno

    @plugin.tool(name="look_up")
    def another(word: str) -> str:
        """Look up."""
        return word

    second = another.__code__.co_firstlineno
    with pytest.raises(ConfigurationError) as refused:
        rt.include(plugin)
    assert f":{first}" in str(refused.value) and f":{second}" in str(refused.value)


def test_an_installed_plugin_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no installed plugin 'wether'"):
        Realtime().include("wether")


def test_event_classes_without_a_name_of_their_own_cannot_be_listened_to() -> None:
    from realtime_events.events import ServerEvent

    with pytest.raises(ConfigurationError, match="base class"):
        Realtime().on(ServerEvent, print)


def test_events_are_published_under_their_own_names() -> None:
    rt = Realtime()
    rt.on([ResponseDone, ResponseOutputAudioDelta, ResponseOutputAudioDone, TurnDone], print)
    assert rt.event_names() == {
        "response.done",
        "response.output_audio.delta",
        "response.output_audio.done",
        "turn.done",
    }


def test_emitting_without_an_event_loop_is_refused_and_spoils_nothing() -> None:
    rt, seen = Realtime(), []

    @rt.on("app.x")
    async def handler(payload: int) -> None:
        seen.append(payload)

    with pytest.raises(ConfigurationError, match="needs a running event loop"):
        rt.emit("app.x", 1)

    async def emit() -> None:
        rt.emit("app.x", 2)
        await asyncio.sleep(0)

    asyncio.run(emit())
    assert seen == [2]


async def test_handlers_that_ask_for_a_session_do_not_disturb_what_belongs_to_none(
    caplog: pytest.LogCaptureFixture,
) -> None:
    rt = Realtime()
    rt.on("handler.failed", lambda event, session: None)
    rt.on("frame.received", lambda event, session: None)

    @rt.on("app.x")
    async def failing(payload: int) -> None:
        raise ValueError("boom")

    assert rt.emit("app.x", 1)
    rt.on("frame.received", lambda event, session: None)
    await asyncio.sleep(0)
    assert "boom" in caplog.text


def test_a_plugin_is_included_once() -> None:
    rt, plugin = Realtime(), Plugin()
    rt.include(plugin)
    with pytest.raises(ConfigurationError, match="included already"):
        rt.include(plugin)


def test_an_application_may_be_run_again_in_another_loop() -> None:
    rt, opened = Realtime(), []

    @rt.on("connection.opened")
    async def hang_up(event: Any, session: Any) -> None:
        opened.append(event)
        await session.close()

    async def serve() -> None:
        peer = Peer()
        async with asyncio.timeout(5):
            ending = await rt.serve(endpoint=peer.endpoint, dial=peer.dial, reconnect=False)
        assert ending.code == 1000

    asyncio.run(serve())
    asyncio.run(serve())
    assert len(opened) == 2


async def test_a_handler_of_two_events_that_is_taken_off_one_still_hears_the_other() -> None:
    """B05: and nobody else who listens to the same event is taken off with it."""
    rt, seen, others = Realtime(), list[Any](), list[Any]()
    rt.on(["app.x", "app.y"], seen.append)
    rt.on("app.x", others.append)
    rt.off("app.x", seen.append)
    assert rt.emit("app.x", 1) and rt.emit("app.y", 2) and rt.emit("app.y", 3)
    await asyncio.sleep(0)
    assert (seen, others) == ([2, 3], [1])


async def test_once_on_two_events_of_which_one_was_taken_off_is_once_all_the_same() -> None:
    rt, seen = Realtime(), list[Any]()
    rt.once(["app.x", "app.y"], seen.append)
    rt.off("app.x", seen.append)
    assert rt.emit("app.y", 1) and not rt.emit("app.y", 2) and not rt.emit("app.x", 3)
    await asyncio.sleep(0)
    assert seen == [1]


async def test_once_is_once_although_a_handler_before_it_emits_the_same_event_again() -> None:
    """B02: the event within comes first, and is the one."""
    rt, seen = Realtime(), list[Any]()

    @rt.on("app.x", delivery="inline")
    def again(payload: int) -> None:
        if payload == 1:
            rt.emit("app.x", 2)

    rt.once("app.x", seen.append, delivery="inline")
    rt.emit("app.x", 1)
    assert seen == [2]


@pytest.mark.parametrize(("args", "more"), [((1, 2), {}), ((), {"payload": 1})])
def test_more_than_one_payload_is_refused(args: tuple[int, ...], more: dict[str, int]) -> None:
    rt = Realtime()
    rt.on("app.x", lambda payload: None)
    with pytest.raises(ConfigurationError, match="takes one name and one payload"):
        rt.emit("app.x", *args, **more)


async def test_an_application_that_emits_more_than_a_handler_may_hold_is_told_so() -> None:
    """B04: there is no session to close, so whoever emits is refused; what was taken is handled."""
    rt, seen = Realtime(), list[Any]()
    rt.on("app.x", seen.append, max_pending=3)
    rt.emit("app.x", 0)
    rt.emit("app.x", 1)
    rt.emit("app.x", 2)
    with pytest.raises(ConfigurationError, match="holds 4 unhandled events"):
        rt.emit("app.x", 3)
    await asyncio.sleep(0)
    assert seen[:3] == [0, 1, 2]
