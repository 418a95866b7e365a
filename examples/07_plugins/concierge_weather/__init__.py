"""A plugin in a package of its own: two tools, a handler, and something that each session keeps."""

from realtime_events import Plugin, Session, tool
from realtime_events.events import ToolDone

CELSIUS = {"bern": 18, "oslo": 7, "rome": 25}


class Weather(Plugin):
    """Knows the weather of three cities."""

    def __init__(self) -> None:
        super().__init__(prefix="weather_")
        self.on("tool.done", self.note)

    async def setup(self, session: Session) -> None:
        """Begin to remember what was asked."""
        session.state.weather_asked = []

    @tool
    async def now(self, city: str) -> str:
        """Tell the temperature of a city.

        Args:
            city: The city's name.
        """
        celsius = CELSIUS.get(city.casefold())
        return f"{celsius} °C in {city}" if celsius is not None else f"nobody measures in {city}"

    @tool(available_when=lambda session: bool(session.state.weather_asked))
    async def again(self, session: Session) -> list[str]:
        """Tell which answers were given before."""
        return list(session.state.weather_asked)

    async def note(self, event: ToolDone, session: Session) -> None:
        """Remember an answer."""
        if event.call.name == "weather_now":
            session.state.weather_asked.append(event.output)
