"""Local MCP servers: their tools become tools of ours, which the model calls like any other.

Owns the connection to one MCP server, by the official `mcp` package (the extra `mcp`), and the translation of its
tools, results and progress. Knows no wire event. Before it: `Realtime.include`; after it: `session.tools`.

    rt.include(McpServer.stdio("uvx", "mcp-server-time"))
    rt.include(McpServer.http("https://example.com/mcp", prefix="shop_"))

The server is started for the first session and stopped after the last. One task owns the connection from its start to
its end, because what the `mcp` package opens must be closed by the task that has opened it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Unpack

from ..exceptions import MissingExtra, ToolError, one_line
from ..logs import logger
from ..plugin import Plugin
from ..secrecy import bare_url
from ..tools.calling import Progress
from ..tools.options import ToolSettings
from ..tools.registry import Tool, make_tool

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["McpServer"]

log = logger("integrations.mcp")

START_TIMEOUT_S = 30.0
CLOSE_GRACE_S = 0.2
MAX_DESCRIPTION = 1024
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_-]")

Open = Callable[[], AbstractAsyncContextManager[Any]]


class McpServer(Plugin):
    """One MCP server whose tools the model may call; make it by `stdio` or `http`, and include it.

    Args:
        label: What it is called in errors and logs.
        open_streams: Opens the connection.
        prefix: Stands before the name of each of its tools.
        options: How its tools are run, as for `rt.tool`.

    Raises:
        MissingExtra: The package `mcp` is not installed.
    """

    def __init__(self, label: str, open_streams: Open, *, prefix: str = "", **options: Unpack[ToolSettings]) -> None:
        super().__init__(prefix)
        if find_spec("mcp") is None:
            raise MissingExtra("mcp", "mcp")
        self.label = label
        self._open = open_streams
        self._options = options
        self._users = 0
        self._owner: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[list[Tool]] | None = None
        self._stop = asyncio.Event()

    @classmethod
    def stdio(
        cls,
        command: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        prefix: str = "",
        **options: Unpack[ToolSettings],
    ) -> McpServer:
        """Start a program that speaks MCP on its standard input and output.

        Args:
            command: The program.
            arguments: Its arguments.
            env: More of its environment; of ours it gets only what every program needs.
            cwd: Where it runs.
            prefix: Stands before the name of each of its tools.
            options: How its tools are run, as for `rt.tool`.
        """

        def open_streams() -> AbstractAsyncContextManager[Any]:
            from mcp import StdioServerParameters
            from mcp.client.stdio import stdio_client

            how = StdioServerParameters(command=command, args=[*arguments], env=dict(env) if env else None, cwd=cwd)
            return stdio_client(how)

        return cls(command, open_streams, prefix=prefix, **options)

    @classmethod
    def http(cls, url: str, *, prefix: str = "", client: Any = None, **options: Unpack[ToolSettings]) -> McpServer:
        """Reach an MCP server by streamable HTTP.

        Args:
            url: Where it is.
            prefix: Stands before the name of each of its tools.
            client: An HTTP client for it, with headers for instance, as `mcp.client.streamable_http` takes it.
            options: How its tools are run, as for `rt.tool`.
        """

        def open_streams() -> AbstractAsyncContextManager[Any]:
            from mcp.client.streamable_http import streamable_http_client

            return streamable_http_client(url, http_client=client)

        return cls(bare_url(url), open_streams, prefix=prefix, **options)

    async def setup(self, session: Session) -> None:
        """Offer the server's tools in a session; the first one starts the server.

        Raises:
            TimeoutError: It did not start in time.
            Exception: It did not start; what the `mcp` package said of it.
        """
        self._users += 1
        if self._owner is None or self._owner.done() or self._stop.is_set():
            self._stop = asyncio.Event()
            self._ready = asyncio.get_running_loop().create_future()
            name = f"realtime_events.integrations.mcp {self.label}"
            self._owner = asyncio.create_task(self._own(self._ready, self._stop), name=name)
        assert self._ready is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            tools = await asyncio.shield(self._ready)
        await session.tools.add(*tools)

    async def close(self, session: Session) -> None:
        """Stop the server after the last session."""
        self._users -= 1
        if self._users <= 0 and self._owner is not None:
            self._users = 0
            self._stop.set()
            # A program may take its time to end; its owner sees to it, and nobody has to wait.
            await asyncio.wait({self._owner}, timeout=CLOSE_GRACE_S)

    async def _own(self, ready: asyncio.Future[list[Tool]], stop: asyncio.Event) -> None:
        """Open the connection, keep it until it is not needed any more, and close it."""
        from mcp import ClientSession

        try:
            async with self._open() as streams, ClientSession(streams[0], streams[1]) as client:
                await client.initialize()
                ready.set_result([self._tool(client, _wire(listed)) for listed in await _all_tools(client)])
                await stop.wait()
        except BaseException as error:
            if stop.is_set():
                log.debug("the MCP server %s had to be cut off", one_line(self.label, limit=200))
            elif ready.done():
                log.warning("the MCP server %s ended: %s", one_line(self.label, limit=200), type(error).__name__)
            else:
                ready.set_exception(error)
            if isinstance(error, asyncio.CancelledError):
                raise

    def _tool(self, client: Any, listed: dict[str, Any]) -> Tool:
        """Make a tool of ours of one of the server's."""
        name = str(listed["name"])

        async def run(arguments: dict[str, Any]) -> AsyncGenerator[Any]:
            async for value in _call(client, name, arguments):
                yield value

        told: dict[str, Any] = listed.get("inputSchema") or {}
        schema = {word: value for word, value in told.items() if word != "$schema"}
        return make_tool(
            run,
            name=(self.prefix + _NOT_IN_NAMES.sub("_", name))[:64],
            description=str(listed.get("description") or "")[:MAX_DESCRIPTION],
            parameters={**schema, "type": "object"},
            options=self._options,
        )


async def _call(client: Any, name: str, arguments: dict[str, Any]) -> AsyncGenerator[Any]:
    """Give the progress of a call as it comes, and its result at the end."""
    news: asyncio.Queue[Progress | None] = asyncio.Queue()

    async def on_progress(done: float, total: float | None, message: str | None) -> None:
        news.put_nowait(Progress(message or "", done / total if total else None))

    def ended(_: object) -> None:
        news.put_nowait(None)

    calling = asyncio.ensure_future(client.call_tool(name, arguments, progress_callback=on_progress))
    calling.add_done_callback(ended)
    try:
        while (one := await news.get()) is not None:
            yield one
        yield _output(name, _wire(calling.result()))
    finally:
        calling.cancel()


def _wire(model: Any) -> dict[str, Any]:
    """Give one of the `mcp` package's models as MCP spells it; releases of the package spell the fields differently."""
    dumped: dict[str, Any] = model.model_dump(mode="json", by_alias=True, exclude_none=True)
    return dumped


async def _all_tools(client: Any) -> list[Any]:
    from mcp.types import PaginatedRequestParams

    page = await client.list_tools()
    tools: list[Any] = list(page.tools)
    while cursor := _wire(page).get("nextCursor"):
        page = await client.list_tools(params=PaginatedRequestParams(cursor=cursor))
        tools += page.tools
    return tools


def _output(name: str, result: dict[str, Any]) -> Any:
    """Give the result of a call: its text, else what it has instead.

    Raises:
        ToolError: the server says that the call failed.
    """
    parts: list[dict[str, Any]] = result.get("content") or []
    text = "\n".join(str(part["text"]) for part in parts if part.get("type") == "text")
    if result.get("isError"):
        raise ToolError(text or f"{name!r} failed")
    structured = result.get("structuredContent")
    return text or (structured if structured is not None else parts)
