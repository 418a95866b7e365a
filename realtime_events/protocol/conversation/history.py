"""The conversation as we know it: the items of a session, in order, as they grow.

Owns `Conversation`, and what each server event says about an item. Total: no event makes it raise, whatever it names
and whenever it comes, and any order of events ends in the same list. Pure: no loop, clock, randomness or log; times are
passed in, in seconds. Before it: `core.py`, which passes events and deltas on; after it: `session.conversation`.

`HEARD` maps an event class to the method that it concerns. The deltas of text, arguments and audio are not in it,
because there are many of them: State fetches the live list once (`pieces`, `arguments`, `audio_item`) and appends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any, Final

from ...events import server, transcription
from ...events.base import ClientEvent, Event
from ...events.items import Item
from ...events.response import Response
from . import export, saving
from .editing import plan_edit
from .items import INFERRED, PCM16_BYTES_PER_MS, SAID, SAID_INCOMPLETE, ConversationItem, Segment
from .seeding import Seed, seed
from .store import ADDED, DONE, Store

IMAGE_BYTES: Final = 16 * 1024 * 1024


class Conversation:
    """The items of a session, in the order of `previous_item_id`, never of arrival.

    It holds no audio. Images keep their data URI until all of them together are over `retain_image_bytes`; then the
    oldest lose theirs.

    Attributes:
        bytes_per_ms: How many bytes of assistant audio are a millisecond; each item keeps what held at its beginning.
    """

    def __init__(self, *, retain_image_bytes: int = IMAGE_BYTES) -> None:
        self.bytes_per_ms = PCM16_BYTES_PER_MS
        self._store = Store(retain_image_bytes=retain_image_bytes)

    # Looking.

    @property
    def began_s(self) -> float | None:
        """The time of the first event, on the session's clock; None before it."""
        return self._store.began_s

    @property
    def items(self) -> tuple[ConversationItem, ...]:
        """All items, in order."""
        return tuple(self)

    def __iter__(self) -> Iterator[ConversationItem]:
        return iter(self._store)

    def __len__(self) -> int:
        return len(self._store.items)

    def __bool__(self) -> bool:
        return True

    def __contains__(self, item_id: object) -> bool:
        return item_id in self._store.items

    def __repr__(self) -> str:
        return f"<Conversation of {len(self)} items>"

    def get(self, item_id: str) -> ConversationItem | None:
        """Give an item, or None."""
        return self._store.items.get(item_id)

    @property
    def last(self) -> ConversationItem | None:
        """The last item, or None."""
        return self._store.items.get(self._store.last_id)

    @property
    def text(self) -> str:
        """The dialogue: one line `role: words` for each message; of an item that was cut off, the words heard."""
        return "\n".join(f"{item.role}: {item.heard_text}" for item in self if item.role and item.heard_text)

    def heard(self, item_id: str, ms: float) -> str:
        """Give the words of an item that had been heard after so many milliseconds of it; "" if it is unknown."""
        item = self._store.items.get(item_id)
        return item.heard_after(ms) if item is not None else ""

    # Keeping and using.

    def to_json(self) -> str:
        """Give the conversation as JSON text, without audio."""
        return saving.to_json(self.items, began_s=self.began_s, bytes_per_ms=self.bytes_per_ms)

    @classmethod
    def from_json(cls, data: str | bytes) -> Conversation:
        """Give a conversation that was saved with `to_json`.

        Raises:
            ConfigurationError: This is no saved conversation, or one of a newer format.
        """
        saved = saving.from_json(data)
        conversation = Conversation()
        conversation.bytes_per_ms = saved.bytes_per_ms
        conversation._store.began_s = saved.began_s
        conversation._store.restore(saved.items)
        return conversation

    def export(self, format: export.Format) -> str:
        """Give the dialogue as `srt` or `vtt` captions, as `json` or as `md` for people.

        Times are milliseconds from the conversation's first event. Of an item that was cut off there are only the words
        heard, with a mark.

        Raises:
            ConfigurationError: The format is none of these.
        """
        return export.export(self.items, format, began_s=self.began_s or 0.0)

    def seed(self, open_calls: Set[str] = frozenset()) -> Seed:
        """Give what to create in a fresh session, in order, and which items cannot be said again, and why.

        Args:
            open_calls: The ids of the tool calls whose output will follow; others are said with their output alone.
        """
        return seed(self.items, open_calls)

    def seed_items(self) -> list[Item]:
        """Give what to create in a fresh session, in order."""
        return self.seed().items

    def carry_over(self, ids: Mapping[str, str], call_ids: Mapping[str, str]) -> None:
        """Go on in a fresh server-side session: take the new ids of what was said again there, and let the rest go.

        Args:
            ids: The new id of each item that the new session knows, by its old one.
            call_ids: The new id of each tool call, by its old one.
        """
        kept = [item for item in self if item.id in ids]
        for item in kept:
            item.id = ids[item.id]
            item.call_id = call_ids.get(item.call_id, item.call_id)
        self._store.begin_again(kept)

    def go_on_behind(self) -> None:
        """Go on in a server-side session that is told nothing of all this: its first item comes behind the last one."""
        self._store.begin_behind()

    def edit_plan(
        self, wanted: Sequence[Item | ConversationItem], *, new_id: Callable[[str], str]
    ) -> list[ClientEvent]:
        """Give the fewest client events that make the conversation what is wanted; see `plan_edit`."""
        return plan_edit(self, wanted, new_id=new_id)

    # The way of the deltas.

    def pieces(self, item_id: str, content_index: int, response_id: str) -> list[str]:
        """Give the live list of a part's words, to which its deltas are appended.

        Fetch it anew after any event in `HEARD`: words that are whole take no more deltas.
        """
        item = self._message(item_id, response_id)
        return item.part(content_index).live() if item is not None else []

    def arguments(self, item_id: str, response_id: str, call_id: str) -> list[str]:
        """Give the live list of a call's arguments, to which their deltas are appended."""
        item = self._store.generated(item_id, response_id)
        if item is None:
            return []
        item.type = item.type or ("function_call" if call_id else "mcp_call")
        item.call_id = item.call_id or call_id
        return item.argument_words.live()

    def audio_item(self, item_id: str, response_id: str) -> ConversationItem:
        """Give the item whose `audio_bytes` grow with its audio; one that nobody reads if there is none."""
        item = self._message(item_id, response_id) or ConversationItem(id=item_id)
        if not item.audio_bytes:
            item.bytes_per_ms = self.bytes_per_ms
        return item

    def truncate(self, item_id: str, audio_end_ms: int, now: float) -> str:
        """Note that an item was heard only so far, before the server confirms it, and give the words heard."""
        item = self._store.items.get(item_id)
        if item is None:
            return ""
        item.cut(audio_end_ms)
        heard = item.heard or ""
        if item.text:
            # What is told of an interruption stays true, also if more of the transcript comes later.
            item.noted_words = heard
        return heard

    # What events say.

    def apply(self, event: Event, now: float) -> None:
        """Take note of a canonical (GA) server event; one that concerns no item changes nothing."""
        hear = HEARD.get(type(event))
        if hear is not None:
            hear(self, event, now)

    def item_added(self, event: Any, now: float) -> None:
        """An item is in the conversation."""
        self._added(event.item, event.previous_item_id, now, sureness=ADDED)

    def item_done(self, event: server.ConversationItemDone, now: float) -> None:
        """An item is final."""
        item = self._added(event.item, event.previous_item_id, now, sureness=DONE)
        if item is not None:
            item.end(now)

    def item_retrieved(self, event: server.ConversationItemRetrieved, now: float) -> None:
        """An item as the server has it."""
        item = self._store.find(event.item.id, now)
        if item is not None:
            self._store.take(item, event.item, is_final=event.item.status != "in_progress")

    def item_truncated(self, event: server.ConversationItemTruncated, now: float) -> None:
        """An item's audio was cut."""
        item = self._store.find(event.item_id, now)
        if item is not None:
            item.cut(event.audio_end_ms)

    def item_deleted(self, event: server.ConversationItemDeleted, now: float) -> None:
        """An item is gone."""
        self._store.remove(event.item_id)

    # The user's side.

    def speech_started(self, event: server.InputAudioBufferSpeechStarted, now: float) -> None:
        """The user began to speak; the item comes with the commit."""
        item = self._store.spoken(event.item_id, now)
        if item is not None:
            item.speech_start_ms, item.started_s = event.audio_start_ms, now

    def speech_stopped(self, event: server.InputAudioBufferSpeechStopped, now: float) -> None:
        """The user stopped speaking."""
        item = self._store.spoken(event.item_id, now)
        if item is not None:
            item.speech_end_ms, item.ended_s = event.audio_end_ms, now

    def committed(self, event: server.InputAudioBufferCommitted, now: float) -> None:
        """What the user said is an item now."""
        item = self._store.find(event.item_id, now)
        if item is None:
            return
        self._store.place(item, event.previous_item_id, ADDED)
        item.type, item.role = item.type or "message", item.role or "user"
        item.part(0).type = item.part(0).type or "input_audio"
        item.settle("completed", INFERRED)
        item.transcribing()
        item.end(now)

    def cleared(self, event: server.InputAudioBufferCleared, now: float) -> None:
        """What the user said becomes no item."""
        self._store.coming.clear()

    def transcript_delta(self, event: transcription.ConversationItemInputAudioTranscriptionDelta, now: float) -> None:
        """The next words of a user item."""
        item = self._user_item(event.item_id, now)
        if item is not None and event.delta:
            item.spoken_part(event.content_index or 0).live().append(event.delta)

    def transcribed(self, event: transcription.ConversationItemInputAudioTranscriptionCompleted, now: float) -> None:
        """A user item's words are known."""
        item = self._user_item(event.item_id, now)
        if item is None:
            return
        item.spoken_part(event.content_index).write(event.transcript)
        state = item.transcribing()
        state.status, state.error = "completed", None
        state.languages = [language.code for language in event.languages or ()] or state.languages

    def not_transcribed(self, event: transcription.ConversationItemInputAudioTranscriptionFailed, now: float) -> None:
        """A user item's words will stay unknown; the item itself is sound."""
        item = self._user_item(event.item_id, now)
        if item is not None and item.transcribing().status == "pending":
            item.transcribing().status, item.transcribing().error = "failed", event.error

    def segment(self, event: transcription.ConversationItemInputAudioTranscriptionSegment, now: float) -> None:
        """One speaker's words in a user item."""
        item = self._user_item(event.item_id, now)
        if item is not None:
            said = Segment(
                id=event.id, speaker=event.speaker, text=event.text, start_s=float(event.start), end_s=float(event.end)
            )
            item.transcribing().add(said)

    # Responses.

    def response_created(self, event: server.ResponseCreated, now: float) -> None:
        """A response began; the items of one out of band belong to no conversation."""
        if event.response.conversation_id is None:
            self._store.set_apart(event.response.id or "")

    def response_done(self, event: server.ResponseDone, now: float) -> None:
        """A response ended, and with it every item of it that says nothing else of itself."""
        response = event.response
        if response.conversation_id is None:
            self._store.set_apart(response.id or "")
        else:
            self._end_response(response, now)

    def output_item_added(self, event: server.ResponseOutputItemAdded, now: float) -> None:
        """A response began an item."""
        item = self._store.generated(event.item.id, event.response_id, now)
        if item is not None:
            self._store.take(item, event.item, is_final=False)

    def output_item_done(self, event: server.ResponseOutputItemDone, now: float) -> None:
        """A response finished an item."""
        item = self._store.generated(event.item.id, event.response_id, now)
        if item is not None:
            self._store.take(item, event.item, is_final=True)
            item.end(now)

    def part_added(self, event: server.ResponseContentPartAdded, now: float) -> None:
        """A part began."""
        self._take_part(event, now, is_whole=False)

    def part_done(self, event: server.ResponseContentPartDone, now: float) -> None:
        """A part is whole."""
        self._take_part(event, now, is_whole=True)

    def text_done(self, event: server.ResponseOutputTextDone, now: float) -> None:
        """The whole text of a part."""
        self._write(event, "output_text", event.text, now)

    def transcript_done(self, event: server.ResponseOutputAudioTranscriptDone, now: float) -> None:
        """The whole transcript of a part."""
        self._write(event, "output_audio", event.transcript, now)

    def arguments_done(self, event: server.ResponseFunctionCallArgumentsDone, now: float) -> None:
        """A call's whole arguments."""
        item = self._store.generated(event.item_id, event.response_id, now)
        if item is not None:
            item.type = item.type or "function_call"
            item.call_id, item.name = item.call_id or event.call_id, item.name or event.name
            item.argument_words.write(event.arguments)

    def mcp_arguments_done(self, event: server.ResponseMcpCallArgumentsDone, now: float) -> None:
        """The whole arguments of a call to a hosted MCP server."""
        item = self._store.generated(event.item_id, event.response_id, now)
        if item is not None:
            item.type = item.type or "mcp_call"
            item.argument_words.write(event.arguments)

    def mcp_began(self, event: Any, now: float) -> None:
        """A hosted MCP server was asked for something."""
        self._mcp_item(event, now)

    def mcp_completed(self, event: Any, now: float) -> None:
        """A hosted MCP server has answered."""
        item = self._mcp_item(event, now)
        if item is not None:
            item.settle("completed", SAID)
            item.end(now)

    def mcp_failed(self, event: Any, now: float) -> None:
        """A hosted MCP server did not answer; the item says why."""
        item = self._mcp_item(event, now)
        if item is not None:
            item.settle("incomplete", SAID_INCOMPLETE)
            item.end(now)

    # Ways to say it that several events share.

    def _added(self, given: Item, previous: Any, now: float, *, sureness: int) -> ConversationItem | None:
        item = self._store.find(given.id, now)
        if item is not None:
            self._store.place(item, previous, sureness)
            self._store.take(item, given, is_final=sureness == DONE)
        return item

    def _user_item(self, item_id: str, now: float) -> ConversationItem | None:
        item = self._store.find(item_id, now)
        if item is not None:
            item.type, item.role = item.type or "message", item.role or "user"
            item.transcribing()
        return item

    def _mcp_item(self, event: Any, now: float) -> ConversationItem | None:
        item = self._store.find(event.item_id, now)
        if item is not None:
            item.type = item.type or ("mcp_list_tools" if event.type.startswith("mcp_list") else "mcp_call")
        return item

    def _message(self, item_id: str, response_id: str, now: float | None = None) -> ConversationItem | None:
        """Find or make a message of a response."""
        item = self._store.generated(item_id, response_id, now)
        if item is not None:
            item.type, item.role = item.type or "message", item.role or "assistant"
        return item

    def _write(self, event: Any, kind: str, words: str, now: float) -> None:
        item = self._message(event.item_id, event.response_id, now)
        if item is not None:
            part = item.part(event.content_index)
            part.become(kind)
            part.write(words)

    def _take_part(self, event: Any, now: float, *, is_whole: bool) -> None:
        item = self._message(event.item_id, event.response_id, now)
        if item is not None:
            item.take_part(event.content_index, event.part, is_whole=is_whole)

    def _end_response(self, response: Response, now: float) -> None:
        response_id = response.id or ""
        for given in response.output or ():
            item = self._store.generated(given.id, response_id, now)
            if item is not None:
                self._store.take(item, given, is_final=True)
                item.end(now)
        self._store.end_response(response_id, response.status or "completed", now)


Hear = Callable[[Conversation, Any, float], None]

HEARD: Final[dict[type[Event], Hear]] = {
    server.ConversationItemAdded: Conversation.item_added,
    server.ConversationItemCreated: Conversation.item_added,
    server.ConversationItemDone: Conversation.item_done,
    server.ConversationItemRetrieved: Conversation.item_retrieved,
    server.ConversationItemTruncated: Conversation.item_truncated,
    server.ConversationItemDeleted: Conversation.item_deleted,
    transcription.ConversationItemInputAudioTranscriptionDelta: Conversation.transcript_delta,
    transcription.ConversationItemInputAudioTranscriptionCompleted: Conversation.transcribed,
    transcription.ConversationItemInputAudioTranscriptionFailed: Conversation.not_transcribed,
    transcription.ConversationItemInputAudioTranscriptionSegment: Conversation.segment,
    server.InputAudioBufferSpeechStarted: Conversation.speech_started,
    server.InputAudioBufferSpeechStopped: Conversation.speech_stopped,
    server.InputAudioBufferCommitted: Conversation.committed,
    server.InputAudioBufferCleared: Conversation.cleared,
    server.ResponseCreated: Conversation.response_created,
    server.ResponseDone: Conversation.response_done,
    server.ResponseOutputItemAdded: Conversation.output_item_added,
    server.ResponseOutputItemDone: Conversation.output_item_done,
    server.ResponseContentPartAdded: Conversation.part_added,
    server.ResponseContentPartDone: Conversation.part_done,
    server.ResponseOutputTextDone: Conversation.text_done,
    server.ResponseOutputAudioTranscriptDone: Conversation.transcript_done,
    server.ResponseFunctionCallArgumentsDone: Conversation.arguments_done,
    server.McpListToolsInProgress: Conversation.mcp_began,
    server.McpListToolsCompleted: Conversation.mcp_completed,
    server.McpListToolsFailed: Conversation.mcp_failed,
    server.ResponseMcpCallArgumentsDone: Conversation.mcp_arguments_done,
    server.ResponseMcpCallInProgress: Conversation.mcp_began,
    server.ResponseMcpCallCompleted: Conversation.mcp_completed,
    server.ResponseMcpCallFailed: Conversation.mcp_failed,
}
