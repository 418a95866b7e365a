"""Prices: what usage costs, by a table that the user keeps.

Owns the table's file and the arithmetic of money, exact in decimals. Ships no price: prices change, contracts differ.
Knows no event and no session. Before it: `SessionUsage`; after it: the application, which is told whether the sum is
complete or what it leaves out.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

from .events.response import CachedTokenDetails, InputTokenDetails, OutputTokenDetails, Usage
from .events.transcription import TranscriptionUsage
from .exceptions import ConfigurationError
from .protocol.usage import SessionUsage

__all__ = ["Cost", "ModelPrices", "Prices", "TokenPrices", "TranscriptionPrices"]

TOKENS = Decimal(1_000_000)
SECONDS_PER_MINUTE = Decimal(60)
MODALITIES = ("text", "audio", "image")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What usage costs.

    Attributes:
        amount: The sum of all that has a price.
        currency: Of what, as the table says.
        complete: Whether everything had a price.
        missing: What had none, such as `gpt-realtime: audio.cached_input`; it is not in the sum.
    """

    amount: Decimal
    currency: str
    complete: bool
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrices:
    """The prices of a million tokens of one modality; None where there is none."""

    input: Decimal | None = None
    cached_input: Decimal | None = None
    output: Decimal | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelPrices:
    """The prices of a model's tokens by modality."""

    text: TokenPrices = TokenPrices()
    audio: TokenPrices = TokenPrices()
    image: TokenPrices = TokenPrices()


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionPrices:
    """The prices of a transcription model: of a minute of audio, or of its tokens."""

    minute: Decimal | None = None
    text: TokenPrices = TokenPrices()
    audio: TokenPrices = TokenPrices()


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """A table of prices.

    Attributes:
        currency: Of what all of them are.
        models: By the name of the model, exactly as the session has it.
        transcription: By the name of the transcription model.
        source: Where the table is from, for messages.
    """

    currency: str
    models: Mapping[str, ModelPrices] = field(default_factory=dict[str, ModelPrices])
    transcription: Mapping[str, TranscriptionPrices] = field(default_factory=dict[str, TranscriptionPrices])
    source: str = ""

    @classmethod
    def from_file(cls, path: str | os.PathLike[str]) -> Prices:
        """Read a table from a TOML or JSON file, as its suffix says.

        Raises:
            ConfigurationError: The file cannot be read, or a key or value in it is wrong; both are named.
        """
        file = Path(path)
        root = _Table(file, "", _read(file))
        prices = cls(
            currency=root.text("currency"),
            models={table.key: _model_prices(table) for table in root.tables("models")},
            transcription={table.key: _transcription_prices(table) for table in root.tables("transcription")},
            source=str(file),
        )
        root.check_keys()
        return prices

    def cost(self, usage: SessionUsage) -> Cost:
        """Give what usage costs, and what it leaves out.

        A price is never guessed: tokens that have none, or of which the server did not tell the modality, are missing.
        """
        bill = _Bill()
        for model, used in usage.by_model.items():
            bill.add_response(model or "a model without a name", self.models.get(model), used)
        for model, heard in usage.transcription_by_model.items():
            named = model or "a transcription model without a name"
            bill.add_transcription(named, self.transcription.get(model), heard)
        missing = tuple(dict.fromkeys(bill.missing))
        return Cost(amount=bill.amount, currency=self.currency, complete=not missing, missing=missing)


class _Bill:
    """A sum under way, and what it leaves out."""

    def __init__(self) -> None:
        self.amount = Decimal(0)
        self.missing: list[str] = []

    def add_response(self, model: str, prices: ModelPrices | None, used: Usage) -> None:
        if prices is None:
            self.missing.append(model)
            return
        self._add_input(model, prices, used.input_tokens, used.input_token_details)
        self._add_output(model, prices, used.output_tokens, used.output_token_details)

    def add_transcription(self, model: str, prices: TranscriptionPrices | None, used: TranscriptionUsage) -> None:
        if prices is None:
            self.missing.append(model)
            return
        if used.seconds:
            self._add(f"{model}: minute", prices.minute, Decimal(str(used.seconds)), SECONDS_PER_MINUTE)
        by_modality = ModelPrices(text=prices.text, audio=prices.audio)
        self._add_input(model, by_modality, used.input_tokens, used.input_token_details)
        self._add_tokens(f"{model}: text.output", prices.text.output, _count(used.output_tokens))

    def _add_input(self, model: str, prices: ModelPrices, whole: Any, details: InputTokenDetails | Any) -> None:
        tokens = _by_modality(details)
        cached = _cached_by_modality(details, tokens)
        if sum(cached.values()) < _count(getattr(details, "cached_tokens", 0)):
            self.missing.append(f"{model}: input, cached tokens of no known modality")
            return
        self._add_rest(f"{model}: input, tokens of no known modality", whole, tokens)
        for modality, count in tokens.items():
            price: TokenPrices = getattr(prices, modality)
            from_cache = min(cached[modality], count)
            self._add_tokens(f"{model}: {modality}.input", price.input, count - from_cache)
            self._add_tokens(f"{model}: {modality}.cached_input", price.cached_input, from_cache)

    def _add_output(self, model: str, prices: ModelPrices, whole: Any, details: OutputTokenDetails | Any) -> None:
        tokens = _by_modality(details)
        self._add_rest(f"{model}: output, tokens of no known modality", whole, tokens)
        for modality, count in tokens.items():
            price: TokenPrices = getattr(prices, modality)
            self._add_tokens(f"{model}: {modality}.output", price.output, count)

    def _add_rest(self, what: str, whole: Any, tokens: Mapping[str, int]) -> None:
        if _count(whole) > sum(tokens.values()):
            self.missing.append(what)

    def _add_tokens(self, what: str, price: Decimal | None, count: int) -> None:
        self._add(what, price, Decimal(count), TOKENS)

    def _add(self, what: str, price: Decimal | None, count: Decimal, unit: Decimal) -> None:
        if not count:
            return
        if price is None:
            self.missing.append(what)
        else:
            self.amount += price * count / unit


def _count(value: Any) -> int:
    return value if isinstance(value, int) else 0


def _by_modality(details: InputTokenDetails | OutputTokenDetails | CachedTokenDetails | Any) -> dict[str, int]:
    return {modality: _count(getattr(details, f"{modality}_tokens", 0)) for modality in MODALITIES}


def _cached_by_modality(details: InputTokenDetails | Any, tokens: Mapping[str, int]) -> dict[str, int]:
    """Give the cached tokens by modality; without the server's word only if there is one modality."""
    cached = _by_modality(getattr(details, "cached_tokens_details", None))
    used = [modality for modality, count in tokens.items() if count]
    if not any(cached.values()) and len(used) == 1:
        cached[used[0]] = _count(details.cached_tokens)
    return cached


# The file.


class _Table:
    """A table of the file with its place in it, from which keys are taken one by one."""

    def __init__(self, file: Path, place: str, content: Any, key: str = "") -> None:
        self.file, self.place, self.key = file, place, key
        if not isinstance(content, dict):
            raise ConfigurationError(f"{file}: {place or 'the file'} is a table, not {content!r}")
        self._content = cast("dict[str, Any]", content)
        self._known: list[str] = []

    def _take(self, key: str) -> Any:
        self._known.append(key)
        return self._content.get(key)

    def _place_of(self, key: str) -> str:
        return f"{self.place}.{key}" if self.place else key

    def text(self, key: str) -> str:
        value = self._take(key)
        if not isinstance(value, str) or not value:
            raise ConfigurationError(f"{self.file}: {self._place_of(key)} is a text, not {value!r}")
        return value

    def price(self, key: str) -> Decimal | None:
        value = self._take(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            raise ConfigurationError(f"{self.file}: {self._place_of(key)} is a number, not {value!r}")
        price = Decimal(value)
        if not price.is_finite() or price < 0:
            raise ConfigurationError(f"{self.file}: {self._place_of(key)} is a price from 0 on, not {price}")
        return price

    def table(self, key: str) -> _Table:
        value = self._take(key)
        return _Table(self.file, self._place_of(key), {} if value is None else value, key)

    def tables(self, key: str) -> Iterator[_Table]:
        inner = self.table(key)
        for name in list(inner._content):
            yield inner.table(name)

    def check_keys(self) -> None:
        unknown = next((key for key in self._content if key not in self._known), None)
        if unknown is not None:
            expected = ", ".join(self._known)
            raise ConfigurationError(f"{self.file}: {self._place_of(unknown)} is not known; expected {expected}")


def _read(file: Path) -> Any:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".toml":
            return tomllib.loads(text, parse_float=Decimal)
        if file.suffix == ".json":
            return json.loads(text, parse_float=Decimal)
    except OSError as error:
        raise ConfigurationError(f"{file}: prices cannot be read: {error.strerror}") from error
    except (ValueError, ArithmeticError, RecursionError) as error:
        raise ConfigurationError(f"{file}: no valid {file.suffix[1:].upper()}: {error}") from error
    raise ConfigurationError(
        f"{file}: prices are in a .toml or .json file, not {file.suffix or 'one without a suffix'}"
    )


def _model_prices(table: _Table) -> ModelPrices:
    prices = ModelPrices(**{modality: _token_prices(table.table(modality)) for modality in MODALITIES})
    table.check_keys()
    return prices


def _token_prices(table: _Table) -> TokenPrices:
    prices = TokenPrices(
        input=table.price("input"), cached_input=table.price("cached_input"), output=table.price("output")
    )
    table.check_keys()
    return prices


def _transcription_prices(table: _Table) -> TranscriptionPrices:
    prices = TranscriptionPrices(
        minute=table.price("minute"),
        text=_token_prices(table.table("text")),
        audio=_token_prices(table.table("audio")),
    )
    table.check_keys()
    return prices
