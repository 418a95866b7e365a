"""What may be set of a session: its defaults, and what is refused."""

from __future__ import annotations

import dataclasses
import ssl
from typing import Any

import pytest
import trustme

from realtime_events import ConfigurationError, Endpoint, Options, Realtime, ToolLimits
from realtime_events.app import DEFAULT_MODEL
from realtime_events.handlers import DEFAULT_MAX_PENDING
from realtime_events.invocation import SLOW_HANDLER_S
from realtime_events.lanes import LAGGING_SHARE, MAX_PENDING_BYTES
from realtime_events.lifeline import FORCED_AFTER_S, REPLAY_TIMEOUT_S
from realtime_events.outbox import Sending
from realtime_events.reconnect import MAX_RETRY_AFTER_S, TRY_LATER_S, Reconnect
from realtime_events.session.living import LANE_GRACE_S
from realtime_events.session.sending import REQUEST_TIMEOUT_S
from realtime_events.tools import ToolOptions
from realtime_events.transport import CLOSE_TIMEOUT_S, SEND_TIMEOUT_S
from realtime_events.vigil import LIMIT_S, ROTATE_BEFORE_S, ROTATE_SPREAD_S

OPTIONS: dict[str, Any] = {
    "dialect": None,
    "kind": "realtime",
    "connect_timeout_s": 10,
    "reconnect": True,
    "connect_retry_s": 10,  # B41
    "rotate": True,  # B43
    "stall_s": 30,  # B50
    "on_stall": "tell",
    "idle_timeout_s": None,
    "max_duration_s": None,
    "max_tokens": None,
    "farewell": "",
    "drain_s": 10,  # B50
    "watch_loop": True,
    "ping_interval_s": 10,  # B44
    "ping_timeout_s": 20,
    "max_frame_bytes": 64 * 1024 * 1024,  # B45
    "proxy": None,
    "ssl": None,
    "trust_env": False,  # B49
    "retain_audio": 0,  # B24
    "gate": "open",
    "sending": Sending(policy="block", max_ms=30_000, max_age_s=2, timeout_s=5),  # B17
    "on_full": "drop_deltas",  # B04
    "tool_limits": ToolLimits(
        rounds_per_turn=10, calls_per_response=16, calls_per_minute=60, parallel=16, identical=3
    ),  # B33
}

TOOL_OPTIONS: dict[str, Any] = {
    "timeout_s": 30,
    "retries": 0,
    "retry_delay_s": 0.2,
    "max_concurrency": None,
    "max_attempts": 3,
    "on_interrupt": "finish",  # B34
    "on_duplicate": "run",
    "when_done": "idle",  # B34
    "respond": True,
    "approval": "never",
    "approval_timeout_s": 60,
    "kind": "read",
    "expose_errors": False,  # B30
    "max_output_bytes": 256 * 1024,
    "available_when": None,
}


def test_a_session_has_the_promised_defaults() -> None:
    """B04, B17, B24, B33, B41, B43, B44, B45, B49, B50: every one, so that a new option is named here, too."""
    options = Options()
    assert {field.name: getattr(options, field.name) for field in dataclasses.fields(Options)} == OPTIONS


def test_a_tool_has_the_promised_defaults() -> None:
    """B30, B34: every one."""
    options = ToolOptions()
    assert {name: getattr(options, name) for name in ToolOptions.__struct_fields__} == TOOL_OPTIONS


def test_what_may_not_be_set_has_the_promised_values() -> None:
    """B03, B04, B13, B40, B41, B42, B43: times in seconds, sizes in bytes."""
    assert DEFAULT_MODEL == "gpt-realtime-2.1"
    assert (DEFAULT_MAX_PENDING, LAGGING_SHARE, MAX_PENDING_BYTES) == (1_000, 0.8, 8 * 1024 * 1024)
    assert SLOW_HANDLER_S == 0.020
    assert REQUEST_TIMEOUT_S == 10
    assert (SEND_TIMEOUT_S, LANE_GRACE_S, REPLAY_TIMEOUT_S) == (5, 0.5, 5)
    assert CLOSE_TIMEOUT_S < 1
    policy = Reconnect()
    assert (policy.attempts, policy.first_delay_s, policy.max_delay_s) == (10, 0.5, 8)
    assert (MAX_RETRY_AFTER_S, TRY_LATER_S) == (60, 5)
    # Left between five and seven minutes before the end, and at the latest two before it.
    assert (LIMIT_S, ROTATE_BEFORE_S, ROTATE_SPREAD_S, FORCED_AFTER_S) == (3_600, 300, 120, 180)


def unchecked() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def unnamed() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    return context


def lenient() -> ssl.SSLContext:
    context = unnamed()
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


@pytest.mark.parametrize(
    ("context", "said"),
    [
        (unchecked, "checks no certificate"),
        (lenient, "checks no certificate"),
        (unnamed, "does not check the host's name"),
        (lambda: False, "bool is no ssl.SSLContext"),
    ],
)
async def test_no_option_switches_the_check_of_certificates_off(context: Any, said: str) -> None:
    """B48, B49: refused before anything is dialled; REST takes the same options. A CA of one's own is what there is."""
    with pytest.raises(ConfigurationError, match=said) as caught:
        Options(ssl=context())
    assert "load_verify_locations" in str(caught.value)
    with pytest.raises(ConfigurationError, match=said):
        async with Realtime(endpoint=Endpoint(url="wss://localhost", api_key="test-key")).connect(ssl=context()):
            pass


def test_a_certificate_authority_of_ones_own_is_taken() -> None:
    """B49: added to those of the system, or alone."""
    authority = trustme.CA()
    for context in (ssl.create_default_context(), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)):
        authority.configure_trust(context)
        assert Options(ssl=context).ssl is context


@pytest.mark.parametrize("tokens", [0, -1])
def test_a_budget_of_nothing_is_refused(tokens: int) -> None:
    """B50: it would end a session before it has begun."""
    with pytest.raises(ConfigurationError, match=f"max_tokens={tokens}"):
        Options(max_tokens=tokens)
