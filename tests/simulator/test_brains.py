"""What the brains without a language model promise: sensible answers, decided by words and schemas alone."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime_events.events.items import ContentPart, Item
from realtime_events.events.session import Tool, ToolChoice
from realtime_events.simulator.brains import Call, EchoBrain, Plan, Request, RuleBrain, Say

TEXT = {"type": "string"}
NUMBER = {"type": "number"}


def user(text: str) -> Item:
    return Item(type="message", role="user", content=[ContentPart(type="input_text", text=text)])


def spoken(words: str) -> Item:
    return Item(type="message", role="user", content=[ContentPart(type="input_audio", transcript=words)])


def assistant(text: str) -> Item:
    return Item(type="message", role="assistant", content=[ContentPart(type="output_audio", transcript=text)])


def called(call_id: str, name: str) -> Item:
    return Item(type="function_call", call_id=call_id, name=name, arguments="{}")


def output(call_id: str, text: str) -> Item:
    return Item(type="function_call_output", call_id=call_id, output=text)


def tool(name: str, description: str, *, optional: Sequence[str] = (), **properties: dict[str, Any]) -> Tool:
    required = [name for name in properties if name not in optional]
    schema = {"type": "object", "properties": properties, "required": required}
    return Tool(type="function", name=name, description=description, parameters=schema)


WEATHER = tool(
    "get_weather",
    "Look up the current weather.",
    city={"type": "string", "description": 'The city\'s name, such as "Bern".'},
)
TIME = tool("get_time", "Get the current time in a city", city=TEXT)
TABLE = tool(
    "book_table",
    "Book a table at the restaurant.",
    people={"type": "integer", "description": "How many people"},
    time=TEXT,
)
LIGHT = tool(
    "set_light",
    "Switch a lamp on or off.",
    optional=["brightness"],
    room={"type": "string", "enum": ["kitchen", "living_room", "bedroom"]},
    on={"type": "boolean"},
    brightness={"type": "integer", "minimum": 0, "maximum": 100},
)
FLIGHT = tool(
    "find_flights",
    "Find flights between two cities",
    optional=["passengers"],
    origin=TEXT,
    destination=TEXT,
    date={"type": "string", "format": "date"},
    passengers={"type": "integer"},
)
SEARCH = tool("web_search", "Search the web.", query=TEXT)
ORDER = tool("get_order_status", "Look up the status of an order.", order_id=TEXT)
SHOPPING = tool("add_items", "Add items to the shopping list.", items={"type": "array", "items": TEXT})
TRANSLATE = tool("translate_text", "Translate text.", text=TEXT, target_language=TEXT)
REMINDER = tool("create_reminder", "Create a reminder.", optional=["date", "time"], text=TEXT, date=TEXT, time=TEXT)
MAIL = tool("send_email", "Send an email.", to={"type": "string", "format": "email"}, body=TEXT)
SUM = tool("add_numbers", "Add two numbers.", a=NUMBER, b=NUMBER)
EVERYTHING = [WEATHER, TIME, TABLE, LIGHT, FLIGHT, SEARCH, ORDER, SHOPPING, TRANSLATE, REMINDER, MAIL, SUM]


def plan(*items: Item, tools: Sequence[Tool] = (WEATHER,), **settings: Any) -> Plan:
    brain = RuleBrain(now=lambda: datetime(2026, 3, 4, 15, 30))
    return brain.plan(Request(conversation=items, tools=tools, **settings))


def calls(*items: Item, **settings: Any) -> list[tuple[str, Any]]:
    return [(one.name, json.loads(one.arguments)) for one in plan(*items, **settings) if isinstance(one, Call)]


def says(*items: Item, **settings: Any) -> str:
    (one,) = plan(*items, **settings)
    assert isinstance(one, Say)
    return one.text


@pytest.mark.parametrize(
    "text",
    [
        "Hello! What is the weather in Bern today?",
        "What should I wear in Bern today?",
        "Do I need an umbrella in Bern?",
        "Is it going to be cold in Bern tomorrow?",
        "I am in Bern. How is the weather?",
        "Bern weather please",
    ],
)
@pytest.mark.parametrize("tools", [pytest.param([WEATHER], id="alone"), pytest.param(EVERYTHING, id="among others")])
def test_a_tool_is_called_when_the_words_are_about_it(text: str, tools: list[Tool]) -> None:
    assert calls(user(text), tools=tools) == [("get_weather", {"city": "Bern"})]


def test_a_transcript_counts_as_words() -> None:
    assert calls(spoken("how is the weather in new york today")) == [("get_weather", {"city": "new york"})]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Please book a table for two at seven o'clock.", [("book_table", {"people": 2, "time": "seven o'clock"})]),
        ("Reserve a table at 7:30 pm for 12 people", [("book_table", {"people": 12, "time": "7:30 pm"})]),
        ("Turn off the light in the living room", [("set_light", {"room": "living_room", "on": False})]),
        (
            "Switch on the bedroom lamp at forty percent brightness",
            [("set_light", {"room": "bedroom", "on": True, "brightness": 40})],
        ),
        (
            "Find a flight from Bern to London next Monday for 2 passengers",
            [("find_flights", {"origin": "Bern", "destination": "London", "date": "next Monday", "passengers": 2})],
        ),
        (
            "i want to fly from new york to paris on 3 May",
            [("find_flights", {"origin": "new york", "destination": "paris", "date": "3 May"})],
        ),
        ("Search the web for the best pizza in Naples", [("web_search", {"query": "the best pizza in Naples"})]),
        ("Where is my order A-1234?", [("get_order_status", {"order_id": "A-1234"})]),
        ("Please add milk, eggs and bread to the shopping list", [("add_items", {"items": ["milk", "eggs", "bread"]})]),
        (
            'Translate "good morning" to French',
            [("translate_text", {"text": "good morning", "target_language": "French"})],
        ),
        (
            "Remind me to call mom tomorrow at 7pm",
            [("create_reminder", {"text": "call mom", "date": "tomorrow", "time": "7pm"})],
        ),
        (
            "Send an email to ada@example.com saying I am late",
            [("send_email", {"to": "ada@example.com", "body": "I am late"})],
        ),
        ("Please add 12 and 30.5", [("add_numbers", {"a": 12, "b": 30.5})]),
    ],
)
def test_arguments_are_filled_from_the_words_by_the_schema(text: str, expected: list[Any]) -> None:
    assert calls(user(text), tools=EVERYTHING) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How is the weather in Bern and Zurich?", [{"city": "Bern"}, {"city": "Zurich"}]),
        ("weather in Bern, New York and Rio", [{"city": "Bern"}, {"city": "New York"}, {"city": "Rio"}]),
        ("What's the weather in Bern? And do I need a coat in Oslo?", [{"city": "Bern"}, {"city": "Oslo"}]),
        ("What is the weather in Bern, and should I take an umbrella?", [{"city": "Bern"}]),
    ],
)  # fmt: skip
def test_each_place_named_is_a_call_of_its_own(text: str, expected: list[Any]) -> None:
    assert [arguments for _, arguments in calls(user(text))] == expected


def test_each_thing_asked_is_a_call_of_its_own() -> None:
    text = "What's the weather in Bern and what time is it in Tokyo? Then turn the kitchen light on."
    assert calls(user(text), tools=EVERYTHING) == [
        ("get_weather", {"city": "Bern"}),
        ("get_time", {"city": "Tokyo"}),
        ("set_light", {"room": "kitchen", "on": True}),
    ]


@pytest.mark.parametrize(
    "text",
    ["Hello!", "Tell me about quantum physics", "My name is Anna and I live in Bern", "Repeat after me: weather", ""],
)
def test_no_tool_is_called_when_nothing_is_about_one(text: str) -> None:
    assert calls(user(text), tools=EVERYTHING) == []


def test_a_missing_argument_is_asked_for_and_the_reply_completes_the_call() -> None:
    asked = says(user("What's the weather?"))
    assert asked == "For which city?"
    for reply in ("Bern", "In Bern, please."):
        assert calls(user("What's the weather?"), assistant(asked), user(reply)) == [("get_weather", {"city": "Bern"})]
    assert says(user("Book a table at 19:30"), tools=[TABLE]) == "How many people?"
    done = calls(user("Book a table at 19:30"), assistant("How many people?"), user("We are four."), tools=[TABLE])
    assert done == [("book_table", {"people": 4, "time": "19:30"})]


def test_a_follow_up_means_the_tool_that_was_called_last() -> None:
    before = [user("Weather in Bern?"), called("c1", "get_weather"), output("c1", "sunny"), assistant("sunny")]
    assert calls(*before, user("And in Zurich?")) == [("get_weather", {"city": "Zurich"})]
    assert calls(*before, user("What about Oslo?")) == [("get_weather", {"city": "Oslo"})]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("18 °C and sunny in Bern", "18 °C and sunny in Bern"),
        ('"18 °C"', "18 °C"),
        ('{"degrees": 18, "unit": "C", "tags": ["dry"]}', "The degrees are 18, the unit is C and the tags are dry."),
        ('{"summary": "Sunny all day."}', "Sunny all day."),
        ('{"error": "no such city"}', "I am sorry, that did not work: no such city."),
        ('{"error": {"message": "time-out"}}', "I am sorry, that did not work: time-out."),
        ('["Bern", "Basel", "Thun"]', "Bern, Basel and Thun."),
        ("[]", "I found nothing."),
        ("null", "That is done."),
        ("", "That is done."),
        ("true", "Yes, that is done."),
        ("42", "42"),
        ("1", "1"),
        ("0", "0"),
    ],
)  # fmt: skip
def test_a_tool_output_is_spoken(text: str, said: str) -> None:
    assert says(user("weather in Bern"), called("c1", "get_weather"), output("c1", text)) == said


def test_all_outputs_since_the_user_spoke_are_spoken_once() -> None:
    first = [user("weather?"), called("c0", "get_weather"), output("c0", "old"), assistant("old")]
    second = [user("and now?"), called("c1", "get_weather"), called("c2", "get_weather")]
    assert says(*first, *second, output("c1", "sunny"), output("c2", "rain")) == "Sunny. Rain."
    assert "old" not in says(*first, user("Thank you!"))


def test_a_forbidden_tool_is_not_called() -> None:
    assert isinstance(plan(user("weather in Bern"), tool_choice="none")[0], Say)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "name": "set_light"}])
def test_a_tool_that_must_be_called_is_called_with_values_of_its_schema(choice: Any) -> None:
    ((name, arguments),) = calls(user("Hi there"), tools=[LIGHT], tool_choice=choice)
    assert (name, arguments) == ("set_light", {"room": "kitchen", "on": False})


def test_a_named_tool_is_called_whatever_else_fits() -> None:
    for choice in ({"type": "function", "name": "get_time"}, ToolChoice(type="function", name="get_time")):
        said = user("What is the weather in Bern?")
        assert calls(said, tools=EVERYTHING, tool_choice=choice) == [("get_time", {"city": "Bern"})]


def test_a_choice_of_several_takes_the_one_that_fits() -> None:
    assert calls(user("weather in Bern"), tools=EVERYTHING, tool_choice="required") == [
        ("get_weather", {"city": "Bern"})
    ]


def test_references_and_optional_types_in_a_schema_are_followed() -> None:
    """As the tool schemas of msgspec and pydantic look."""
    schema = {
        "type": "object",
        "properties": {
            "place": {"$ref": "#/$defs/Place"},
            "unit": {"anyOf": [{"enum": ["celsius", "fahrenheit"]}, {"type": "null"}]},
            "days": {"type": ["integer", "null"], "description": "How many days ahead"},
        },
        "required": ["place"],
        "$defs": {"Place": {"type": "object", "properties": {"city": TEXT}, "required": ["city"]}},
    }
    forecast = Tool(type="function", name="forecast", description="Weather forecast.", parameters=schema)
    said = user("Forecast for Bern in fahrenheit for 3 days")
    assert calls(said, tools=[forecast]) == [("forecast", {"place": {"city": "Bern"}, "unit": "fahrenheit", "days": 3})]


def test_a_schema_that_refers_to_itself_is_read_to_an_end() -> None:
    branches = {f"part{number}": {"$ref": "#"} for number in range(30)}
    endless = {"type": "object", "properties": branches, "required": [*branches]}
    loop = Tool(type="function", name="loop", description="Weather.", parameters=endless)
    assert plan(user("weather in Bern"), tools=[loop])


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("Hello!", "Hello! How can I help you?"),
        ("How are you?", "I am fine, thank you. How can I help you?"),
        ("My name is Ada.", "Nice to meet you, Ada. How can I help you?"),
        ("repeat after me: The quick brown fox.", "The quick brown fox."),
        ("What time is it?", "It is 15:30."),
        ("What day is it today?", "Today is Wednesday, 4 March 2026."),
        ("What is 12 plus 30 times 2?", "That is 72."),
        ("what's twenty-one times two", "That is 42."),
        ("0.1 + 0.2 = ?", "That is 0.3."),
        ("How much is 15 percent of 80?", "That is 12."),
        ("What is 7 divided by 0?", "One cannot divide by zero."),
        ("[inaudible]", "I am sorry, I could not make out the words. Could you say that again?"),
    ],
)
def test_small_talk_is_answered(text: str, reply: str) -> None:
    assert says(user(text)) == reply


def test_what_it_does_not_know_it_says() -> None:
    reply = says(user("Tell me about quantum physics"))
    assert "Tell me about quantum physics" in reply
    assert "get weather" in reply


def test_simple_instructions_are_obeyed() -> None:
    assert says(user("What is your name?"), instructions="You are Ada, a cheerful concierge.") == "I am Ada."
    assert says(user("How are you?"), instructions="Always answer in one word.") == "Fine."
    assert says(user("How are you?"), instructions="Answer in one sentence.") == "I am fine, thank you."
    assert says(user("Hello"), instructions="Answer in capitals.") == "HELLO! HOW CAN I HELP YOU?"
    assert says(instructions='Say "Welcome back."') == "Welcome back."


def test_an_empty_conversation_is_greeted() -> None:
    assert says() == "Hello! How can I help you?"


def test_a_picture_is_admitted_unseen() -> None:
    picture = Item(type="message", role="user", content=[ContentPart(type="input_image", image_url="data:,")])
    assert "cannot see" in says(picture)


def test_the_same_conversation_gives_the_same_plan() -> None:
    said = user("What's the weather in Bern and what time is it in Tokyo?")
    assert plan(said, tools=EVERYTHING) == plan(said, tools=EVERYTHING)


@pytest.mark.parametrize(
    "parameters",
    [{}, {"type": "object", "properties": []}, {"properties": {"a": 1, "b": {"type": 7, "enum": "x"}}, "required": "a"},
     {"properties": {"a": {"anyOf": [1, {}]}, "b": {"items": [1]}, "c": {"$ref": "#/x"}}, "required": ["a", "b", "c"]}],
)  # fmt: skip
@pytest.mark.parametrize("choice", ["auto", "required"])
def test_a_schema_without_sense_does_no_harm(parameters: dict[str, Any], choice: str) -> None:
    odd = Tool(type="function", name="get_weather", parameters=parameters)
    assert plan(user("How is the weather in Bern?"), tools=[odd], tool_choice=choice)


@given(st.text(max_size=200), st.sampled_from(["auto", "required", "none"]))
def test_any_words_get_a_plan_whose_arguments_are_json(text: str, choice: str) -> None:
    made = plan(user(text), tools=EVERYTHING, tool_choice=choice)
    assert made
    assert all(isinstance(json.loads(one.arguments), dict) for one in made if isinstance(one, Call))


@given(st.text(max_size=100) | st.recursive(st.none() | st.integers() | st.text(max_size=5), st.lists).map(json.dumps))
def test_any_output_can_be_spoken(text: str) -> None:
    assert says(user("weather in Bern"), called("c1", "get_weather"), output("c1", text))


def test_an_endless_request_is_planned_quickly() -> None:
    """No pattern of the rules takes more than linear time; a quadratic one would time out here."""
    for piece in ("a", "7", "one ", "(", "in ", "A-", "'", '"', "1.", "monday ", "and ", "x@", "+1 ", "St. "):
        text = piece * (1_000_000 // len(piece))
        assert plan(user(text), tools=EVERYTHING, instructions=f"Say {text}")


def test_an_echo_says_what_was_heard_last() -> None:
    def echo(*items: Item) -> Plan:
        return EchoBrain().plan(Request(conversation=items))

    assert echo(user("one"), assistant("x"), spoken("two")) == [Say("two")]
    assert echo(user("one"), called("c1", "get_weather"), output("c1", "sunny")) == [Say("sunny")]
    assert echo() == [Say("…")]
