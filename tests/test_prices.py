"""What usage costs, by the user's own table, and whether the sum is complete. The numbers are made up."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pytest

from realtime_events import ConfigurationError
from realtime_events.events import Response, TranscriptionUsage, Usage
from realtime_events.events.response import CachedTokenDetails, InputTokenDetails, OutputTokenDetails
from realtime_events.prices import Cost, Prices
from realtime_events.protocol.usage import SessionUsage

TABLE = """
currency = "USD"

[models."gpt-a"]
text = { input = 4, cached_input = 0.4, output = 16 }
audio = { input = 32, cached_input = 0.5, output = 64.1 }
image = { input = 5 }

[transcription.scribe-minutes]
minute = 0.006

[transcription.scribe-tokens]
text = { input = 1, output = 10 }
audio = { input = 6 }
"""
USED = Usage(
    total_tokens=1_500_000,
    input_tokens=1_000_000,
    output_tokens=500_000,
    input_token_details=InputTokenDetails(
        text_tokens=400_000,
        audio_tokens=600_000,
        cached_tokens=300_000,
        cached_tokens_details=CachedTokenDetails(text_tokens=200_000, audio_tokens=100_000),
    ),
    output_token_details=OutputTokenDetails(text_tokens=100_000, audio_tokens=400_000),
)


def prices(folder: Path, content: str = TABLE, name: str = "prices.toml") -> Prices:
    path = folder / name
    path.write_text(content, "utf-8")
    return Prices.from_file(path)


def session(model: str = "gpt-a", used: Usage = USED, **transcriptions: TranscriptionUsage) -> SessionUsage:
    total = SessionUsage()
    total.add(Response(status="completed", usage=used), model)
    for name, heard in transcriptions.items():
        total.add_transcription(heard, name.replace("_", "-"))
    return total


def test_cached_tokens_cost_their_own_price_instead_of_that_of_the_input(tmp_path: Path) -> None:
    """B25: they are a subset of it."""
    text = Decimal("0.2") * 4 + Decimal("0.2") * Decimal("0.4") + Decimal("0.1") * 16
    audio = Decimal("0.5") * 32 + Decimal("0.1") * Decimal("0.5") + Decimal("0.4") * Decimal("64.1")
    assert prices(tmp_path).cost(session()) == Cost(amount=text + audio, currency="USD", complete=True)


def test_transcription_costs_by_the_minute_or_by_its_tokens(tmp_path: Path) -> None:
    """B25."""
    heard = session(
        used=Usage(),
        scribe_minutes=TranscriptionUsage(type="duration", seconds=10),
        scribe_tokens=TranscriptionUsage(
            type="tokens",
            input_tokens=110_000,
            output_tokens=20_000,
            input_token_details=InputTokenDetails(text_tokens=10_000, audio_tokens=100_000),
        ),
    )
    expected = Decimal("0.001") + Decimal("0.01") + Decimal("0.6") + Decimal("0.2")
    assert prices(tmp_path).cost(heard) == Cost(amount=expected, currency="USD", complete=True)


def test_a_table_in_json_gives_the_same_to_the_last_digit(tmp_path: Path) -> None:
    table = {
        "currency": "USD",
        "models": {"gpt-a": {"text": {"input": 4, "cached_input": 0.4, "output": 16}}},
    }
    written = prices(tmp_path, json.dumps(table), "prices.json")
    assert written.models["gpt-a"].text == prices(tmp_path).models["gpt-a"].text
    assert written.models["gpt-a"].text.cached_input == Decimal("0.4")


IMAGE = Usage(input_tokens=10, input_token_details=InputTokenDetails(image_tokens=10, cached_tokens=4))


@pytest.mark.parametrize(
    ("used", "amount", "missing"),
    [
        (session("gpt-b"), "0", ["gpt-b"]),
        (session(""), "0", ["a model without a name"]),
        (session(used=IMAGE), "0.00003", ["gpt-a: image.cached_input"]),
        (session(used=Usage(input_tokens=5)), "0", ["gpt-a: input, tokens of no known modality"]),
        (session(used=Usage(output_tokens=5)), "0", ["gpt-a: output, tokens of no known modality"]),
        (
            session(
                used=Usage(
                    input_tokens=10,
                    input_token_details=InputTokenDetails(text_tokens=5, audio_tokens=5, cached_tokens=4),
                )
            ),
            "0",
            ["gpt-a: input, cached tokens of no known modality"],
        ),
        (session(used=Usage(), scribe_x=TranscriptionUsage(seconds=1)), "0", ["scribe-x"]),
        (session(used=Usage(), scribe_tokens=TranscriptionUsage(seconds=1)), "0", ["scribe-tokens: minute"]),
    ],
)
def test_what_has_no_price_is_named_and_not_guessed(
    tmp_path: Path, used: SessionUsage, amount: str, missing: list[str]
) -> None:
    """B25."""
    cost = prices(tmp_path).cost(used)
    assert (cost.amount, cost.complete, list(cost.missing)) == (Decimal(amount), False, missing)


def test_a_session_that_used_nothing_costs_nothing(tmp_path: Path) -> None:
    assert prices(tmp_path).cost(SessionUsage()) == Cost(amount=Decimal(0), currency="USD", complete=True)


@pytest.mark.parametrize(
    ("name", "content", "named"),
    [
        ("p.toml", "currency = ", "TOML"),
        ("p.json", "{", "JSON"),
        ("p.json", "[" * 100_000, "JSON"),
        ("p.json", "[]", "the file is a table"),
        ("p.yaml", "currency: USD", r"\.yaml"),
        ("p.toml", "", "currency is a text, not None"),
        ("p.toml", "currency = 1", "currency is a text, not 1"),
        ("p.toml", 'currency = "USD"\nmodel = 1', "model is not known; expected currency, models"),
        ("p.toml", 'currency = "USD"\nmodels = 1', "models is a table, not 1"),
        ("p.toml", 'currency = "USD"\n[models.a]\ntexts = {}', r"models\.a\.texts is not known"),
        ("p.toml", 'currency = "USD"\n[models.a.text]\ncached = 1', r"models\.a\.text\.cached is not known"),
        ("p.toml", 'currency = "USD"\n[models.a.text]\ninput = "4"', r"models\.a\.text\.input is a number, not '4'"),
        ("p.toml", 'currency = "USD"\n[models.a.text]\ninput = true', r"models\.a\.text\.input is a number, not True"),
        ("p.toml", 'currency = "USD"\n[models.a.text]\ninput = -1', r"models\.a\.text\.input .* not -1"),
        ("p.toml", 'currency = "USD"\n[models.a.text]\ninput = nan', r"models\.a\.text\.input .* not NaN"),
        ("p.json", '{"currency": "USD", "transcription": {"a": {"minute": NaN}}}', r"transcription\.a\.minute .* nan"),
    ],
)
def test_a_bad_file_is_refused_with_its_name_and_the_key(tmp_path: Path, name: str, content: str, named: str) -> None:
    with pytest.raises(ConfigurationError, match=named) as refused:
        prices(tmp_path, content, name)
    assert str(tmp_path / name) in str(refused.value)


def test_a_file_that_is_not_there_or_not_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml: prices cannot be read"):
        Prices.from_file(tmp_path / "nowhere.toml")
    (tmp_path / "latin.toml").write_bytes(b'currency = "\xff"')
    with pytest.raises(ConfigurationError, match=r"latin\.toml: no valid TOML"):
        Prices.from_file(str(tmp_path / "latin.toml"))
