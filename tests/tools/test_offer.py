"""What one session offers to the model, and how it changes; tools as methods, mocks, checks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from realtime_events import (
    ConfigurationError,
    Plugin,
    Progress,
    Realtime,
    Session,
    ToolArgumentsError,
    ToolCall,
    ToolNotFound,
    tool,
)
from realtime_events.events import (
    ConversationItemCreate,
    Item,
    Response,
    ResponseCreate,
    ResponseCreated,
    ResponseDone,
    SessionUpdate,
)
from realtime_events.testing import Peer
from realtime_events.tools import ToolRegistry

WAIT_S = 5


class Database:
    """Something of the application's."""

    def __init__(self) -> None:
        self.rows = ["a row"]


def offered(update: SessionUpdate) -> list[str]:
    return [tool.name for tool in update.session.tools]


def updates(peer: Peer) -> list[SessionUpdate]:
    return [event for event in peer.sent if isinstance(event, SessionUpdate)]


@asynccontextmanager
async def connected(rt: Realtime, **changes: Any) -> AsyncIterator[tuple[Session, Peer]]:
    peer = Peer()
    async with asyncio.timeout(WAIT_S), rt.connect(endpoint=peer.endpoint, dial=peer.dial, **changes) as session:
        yield session, peer


def calls(number: int, name: str, arguments: str = "{}") -> list[Any]:
    item = Item(type="function_call", id=f"item_{number}", call_id=f"call_{number}", name=name, arguments=arguments)
    return [
        ResponseCreated(response=Response(id=f"resp_{number}", conversation_id="conv_1")),
        ResponseDone(response=Response(id=f"resp_{number}", status="completed", output=[item])),
    ]


@pytest.fixture
def rt() -> Realtime:
    rt = Realtime()
    rt.tool(lambda: "one", name="one")
    rt.tool(lambda: "two", name="two")
    return rt


class TestChanging:
    async def test_a_change_tells_the_server_the_tools_and_nothing_else(self, rt: Realtime) -> None:
        """One minimal `session.update`; what changes nothing sends nothing."""
        async with connected(rt, instructions="Be kind.") as (session, peer):
            assert offered(updates(peer)[0]) == ["one", "two"]
            await session.tools.disable("one")
            await session.tools.disable("one")
            assert session.tools.names == ["two"] and "one" not in session.tools
            await session.tools.enable("one", "two")
            first, second, third = updates(peer)
        assert (offered(second), offered(third)) == (["two"], ["one", "two"])
        assert first.session.instructions == "Be kind." and not second.session.instructions

    async def test_a_tool_that_is_not_on_offer_never_runs(self, rt: Realtime) -> None:
        """The offer is the list of what is allowed; the model is told what there is."""
        async with connected(rt) as (session, peer):
            await session.tools.only("two")
            peer.say(*calls(1, "one"))
            output = (await peer.heard(ConversationItemCreate)).item.output
        assert "there is no tool 'one'; available: two" in output

    async def test_other_sessions_notice_nothing(self, rt: Realtime) -> None:
        """B47: what is switched off or added is so in one session."""
        async with connected(rt) as (session, _), connected(rt) as (other, _):
            await session.tools.disable("one")

            async def three() -> None: ...

            await session.tools.add(three)
            assert other.tools.names == ["one", "two"]

    async def test_a_session_may_have_tools_of_its_own(self, rt: Realtime) -> None:
        """They run like the others; a name that is taken is refused with both places."""

        async def three() -> str:
            """Count on."""
            return "three"

        async with connected(rt) as (session, peer):
            await session.tools.add(three, timeout_s=5)
            assert offered(updates(peer)[-1]) == ["one", "two", "three"]
            peer.say(*calls(1, "three"))
            assert (await peer.heard(ConversationItemCreate)).item.output == "three"

            async def one() -> None: ...

            with pytest.raises(ConfigurationError, match="two tools are named 'one'"):
                await session.tools.add(one)
        assert len(rt.tools) == 2

    async def test_a_name_that_does_not_exist_is_refused(self, rt: Realtime) -> None:
        """Nothing is sent then."""
        async with connected(rt) as (session, peer):
            with pytest.raises(ToolNotFound, match="available: one, two"):
                await session.tools.disable("three")
            assert len(updates(peer)) == 1

    async def test_a_condition_is_looked_at_after_every_answer(self) -> None:
        """A tool that logs in brings the tools for those who are; the server hears it before it goes on."""
        rt = Realtime()

        @rt.tool
        async def log_in(session: Session) -> str:
            session.state.user = "Ada"
            return "welcome"

        @rt.tool(available_when=lambda session: session.state.user)
        async def pay() -> None: ...

        async with connected(rt) as (session, peer):
            assert offered(updates(peer)[0]) == ["log_in"]
            with pytest.raises(ToolNotFound):
                await session.tools.call("pay")
            peer.say(*calls(1, "log_in"))
            await peer.heard(ResponseCreate)
            assert [type(event) for event in peer.sent[1:]] == [SessionUpdate, ConversationItemCreate, ResponseCreate]
            assert offered(updates(peer)[-1]) == ["log_in", "pay"]

    async def test_tools_of_other_kinds_stay_on_offer(self) -> None:
        """A hosted MCP server is no function of ours."""
        hosted = {"type": "mcp", "server_label": "docs", "server_url": "https://example.com/mcp"}
        rt = Realtime(session={"tools": [hosted]})
        rt.tool(lambda: "one", name="one")
        async with connected(rt) as (session, peer):
            await session.tools.disable("one")
            first, second = updates(peer)
        assert [tool.type for tool in first.session.tools] == ["mcp", "function"]
        assert [tool.server_label for tool in second.session.tools] == ["docs"]


class TestByHand:
    async def test_a_tool_may_be_called_by_hand(self, rt: Realtime) -> None:
        """The value itself comes back, and the server hears nothing of it."""

        @rt.tool(approval="always")
        async def add(a: int, b: int = 1) -> dict[str, int]:
            return {"sum": a + b}

        async with connected(rt) as (session, peer):
            assert await session.tools.call("add", {"a": 5}) == {"sum": 6}
            with pytest.raises(ToolArgumentsError, match="a: expected integer"):
                await session.tools.call("add", {"a": "5"})
            with pytest.raises(ToolNotFound):
                await session.tools.call("nothing")
        assert not [event for event in peer.sent if isinstance(event, ConversationItemCreate)]


class TestProviding:
    async def test_what_the_application_provides_is_injected(self) -> None:
        """By type, and unknown to the model."""
        rt = Realtime()
        rt.provide(Database, Database())

        @rt.tool
        async def look(db: Database, n: int = 0) -> str:
            return db.rows[n]

        assert list(rt.tools.definitions()[0]["parameters"]["properties"]) == ["n"]
        async with connected(rt) as (session, _):
            assert await session.tools.call("look") == "a row"

    async def test_a_plugin_says_what_it_needs_and_the_application_provides_it(self) -> None:
        """Whichever comes first; `check` names what nobody provides."""
        plugin = Plugin()
        plugin.provide(Database)

        @plugin.tool
        async def look(db: Database) -> str:
            return db.rows[0]

        rt = Realtime()
        rt.include(plugin)
        with pytest.raises(ConfigurationError, match=r"nobody provides .*Database"):
            rt.tools.check()
        rt.provide(Database, Database())
        rt.tools.check()
        async with connected(rt) as (session, _):
            assert await session.tools.call("look") == "a row"


class Shop:
    """A class with several tools."""

    def __init__(self, owner: str) -> None:
        self.owner = owner

    @tool
    async def open_shop(self) -> str:
        """Open the shop."""
        return f"{self.owner} opens"

    @tool(name="close", timeout_s=5)
    def close_shop(self, at: str) -> str:
        """Close the shop."""
        return f"{self.owner} closes at {at}"

    def not_a_tool(self) -> None: ...

    @property
    def dangerous(self) -> None:
        raise AssertionError("looking for tools must not run this")


class TestMethods:
    async def test_the_marked_methods_of_an_instance_become_tools(self) -> None:
        """In their order, bound to it."""
        rt = Realtime()
        shop = Shop("Ada")
        assert rt.include(shop) is shop
        assert [(one.name, one.description, one.options.timeout_s) for one in rt.tools] == [
            ("open_shop", "Open the shop.", 30.0),
            ("close", "Close the shop.", 5.0),
        ]
        async with connected(rt) as (session, _):
            assert await session.tools.call("close", {"at": "six"}) == "Ada closes at six"

    def test_an_instance_may_be_given_to_the_decorator_too(self) -> None:
        """As any callable may."""
        registry = ToolRegistry()
        registry.tool(Shop("Ada"))  # type: ignore[call-overload]
        assert len(registry) == 2

    def test_two_instances_need_two_names(self) -> None:
        """A prefix helps: a plugin of each."""
        rt = Realtime()
        rt.include(Shop("Ada"))
        with pytest.raises(ConfigurationError, match="two tools are named 'open_shop'"):
            rt.include(Shop("Bea"))

    def test_an_object_without_tools_is_refused(self) -> None:
        """It is probably a mistake."""
        with pytest.raises(ConfigurationError, match="no method marked with @tool"):
            Realtime().include(object())

    def test_a_plugins_marked_methods_are_its_tools(self) -> None:
        """With its prefix."""

        class Clock(Plugin):
            @tool
            async def get_time(self) -> str:
                """Tell the time."""
                return "noon"

        rt = Realtime()
        rt.include(Clock(prefix="clock_"))
        assert [one.name for one in rt.tools] == ["clock_get_time"]


class TestMocking:
    async def test_a_mock_answers_in_the_place_of_a_tool(self) -> None:
        """Until the block ends; arguments are checked as for the real one."""
        rt = Realtime()

        @rt.tool
        async def get_weather(city: str, session: Session) -> str:
            return f"18 °C in {city}"

        async with connected(rt) as (session, peer):
            with rt.mock_tools({"get_weather": lambda city: f"snow in {city}"}):
                assert await session.tools.call("get_weather", {"city": "Bern"}) == "snow in Bern"
                with pytest.raises(ToolArgumentsError):
                    await session.tools.call("get_weather", {"town": "Bern"})
                peer.say(*calls(1, "get_weather", '{"city":"Bern"}'))
                assert (await peer.heard(ConversationItemCreate)).item.output == "snow in Bern"
            assert await session.tools.call("get_weather", {"city": "Bern"}) == "18 °C in Bern"
            assert len(updates(peer)) == 1

    @pytest.mark.parametrize(
        ("mock", "given"),
        [
            ("fog", "fog"),
            ({"sky": "blue"}, {"sky": "blue"}),
            (lambda: "none", "none"),
            (lambda **arguments: sorted(arguments), ["city"]),
            (lambda call, city: (call.name, city), ("get_weather", "Bern")),
        ],
    )
    async def test_a_mock_takes_what_it_wants(self, mock: Any, given: Any) -> None:
        """A ready value, no arguments, all of them, or what is injected as well."""
        rt = Realtime()

        @rt.tool
        def get_weather(city: str, call: ToolCall) -> str:
            raise AssertionError("the real one")

        async with connected(rt) as (session, _):
            with rt.mock_tools({"get_weather": mock}):
                assert await session.tools.call("get_weather", {"city": "Bern"}) == given

    def test_only_tools_can_be_mocked(self, rt: Realtime) -> None:
        """And the others stay as they were."""
        with pytest.raises(ToolNotFound, match="three"), rt.mock_tools({"one": "x", "three": "y"}):
            raise AssertionError("entered")


class TestChecking:
    def test_examples_in_docstrings_are_run_as_the_model_would_call(self) -> None:
        """Plain, async and generator tools; what an example raises may be shown too."""
        rt = Realtime()

        @rt.tool
        async def double(n: int) -> int:
            """Double a number.

            Args:
                n: The number.

            Examples:
                >>> double(n=4)
                8
                >>> double(n="four")
                ToolArgumentsError: the arguments of 'double' do not fit: n: expected integer, got string "four"
            """
            return 2 * n

        @rt.tool
        async def count(call: ToolCall) -> AsyncIterator[Any]:
            """Count.

            >>> count()
            'three'
            """
            yield Progress("one")
            yield "two"
            yield "three"

        @rt.tool(name="half")
        def divide(n: float) -> float:
            """Halve.

            >>> half(n=5)
            2.5
            >>> divide(n=3)
            1.5
            """
            return n / 2

        rt.tools.check()

    async def test_every_problem_is_named_with_its_place(self) -> None:
        """All at once, and from within a running loop too."""
        rt = Realtime()

        @rt.tool
        async def double(n: int) -> int:
            """Double.

            >>> double(n=4)
            9
            """
            return 2 * n

        @rt.tool
        def fail() -> None:
            """Fail.

            >>> fail()
            """
            raise OSError("broken")

        with pytest.raises(ConfigurationError) as caught:
            rt.tools.check()
        first, second = str(caught.value).splitlines()
        assert "test_offer.py" in first and "tool 'double': double(n=4) gives '8', not '9'" in first
        assert "fail() gives 'OSError: broken', not ''" in second
