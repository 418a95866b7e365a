"""The user's audio: buffer, turn detection, barge-in, transcription."""

from __future__ import annotations

import base64
import math
from typing import Any

import pytest

from realtime_events.audio import PCM16, PCMA, PCMU, Resampler
from realtime_events.simulator import ClipRecogniser

TURN = [
    "input_audio_buffer.speech_started",
    "input_audio_buffer.speech_stopped",
    "input_audio_buffer.committed",
    "conversation.item.added",
    "conversation.item.done",
]
MANUAL = {"input": {"turn_detection": None}}


def listen(**detection: Any) -> dict[str, Any]:
    return {"input": {"turn_detection": {"type": "server_vad", **detection}}}


def test_a_spoken_question_becomes_a_turn_and_is_answered(client: Any, question: bytes) -> None:
    frames = client.speak(question) + client.wait()
    assert frames.types[:6] == [*TURN, "response.created"]
    assert frames.types[-1] == "response.done"
    started, stopped, committed, added = frames[:4]
    assert started["item_id"] == stopped["item_id"] == committed["item_id"] == added["item"]["id"]
    assert committed["previous_item_id"] is None
    assert 0 <= started["audio_start_ms"] < 200
    spoken_ms = PCM16.duration_ms(len(question)) - 1_000
    assert spoken_ms - 300 < stopped["audio_end_ms"] < spoken_ms + 600
    assert added["item"]["content"] == [{"type": "input_audio", "transcript": None}]


def test_the_chunks_of_the_client_do_not_matter(connect: Any, question: bytes) -> None:
    turns = []
    for chunk_bytes in (960, 4_800, 4_801, 48_000, len(question)):
        client = connect()
        turns.append(client.speak(question, chunk_bytes=chunk_bytes)[:2])
    assert all(turn == turns[0] for turn in turns)


def test_the_item_holds_what_lies_between_start_and_stop(client: Any, question: bytes) -> None:
    started, stopped = client.speak(question)[:2]
    retrieved = client.send("conversation.item.retrieve", item_id=started["item_id"]).one("conversation.item.retrieved")
    audio = base64.b64decode(retrieved["item"]["content"][0]["audio"])
    assert audio == question[48 * started["audio_start_ms"] : 48 * stopped["audio_end_ms"]]


def test_milliseconds_count_all_audio_of_the_session(client: Any, question: bytes) -> None:
    first = client.speak(question)[0]["audio_start_ms"]
    client.send("input_audio_buffer.clear")
    frames = client.speak(question)
    second = frames.one("input_audio_buffer.speech_started")["audio_start_ms"]
    assert second - first == pytest.approx(PCM16.duration_ms(len(question)), abs=20)


def test_silence_and_noise_are_no_turn(client: Any) -> None:
    assert client.speak(PCM16.silence(5_000)) == []


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_a_turn_is_heard_in_g711(client: Any, question: bytes, law: Any) -> None:
    client.configure(audio={"input": {"format": {"type": law.type}}})
    frames = client.speak(law.from_pcm16(Resampler(24_000, 8_000).feed(question)), chunk_bytes=160)
    assert frames.types[:6] == [*TURN, "response.created"]


def test_the_silence_that_ends_a_turn_is_as_long_as_configured(connect: Any, question: bytes) -> None:
    ends = []
    for silence_ms in (200, 800):
        client = connect()
        client.configure(audio=listen(silence_duration_ms=silence_ms))
        ends.append(client.speak(question)[-1:] and client.frames.all(TURN[1])[-1]["audio_end_ms"])
    assert ends[1] - ends[0] == pytest.approx(600, abs=40)


def test_a_turn_is_not_answered_if_the_configuration_says_so(client: Any, question: bytes) -> None:
    client.configure(audio=listen(create_response=False))
    assert client.speak(question).types == TURN
    assert client.wait() == []


def test_the_user_interrupts_the_answer(connect: Any, question: bytes) -> None:
    client = connect(pace=1.0)
    client.send("response.create")
    client.wait(0.3)
    frames = client.speak(question)
    assert frames.types[0] == "input_audio_buffer.speech_started"
    assert frames.types[1:3] == ["response.output_audio.done", "response.output_audio_transcript.done"]
    cut = frames.one("response.done")["response"]
    assert cut["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
    assert frames.types.index("response.done") < frames.types.index("input_audio_buffer.speech_stopped")
    assert frames.types[-5:] != TURN
    assert client.wait().one("response.done")["response"]["status"] == "completed"


def test_without_interrupting_the_next_answer_waits_for_the_first(connect: Any, question: bytes) -> None:
    client = connect(pace=1.0)
    client.configure(audio=listen(interrupt_response=False))
    client.send("response.create")
    client.wait(0.3)
    assert client.speak(question).types == TURN
    frames = client.wait()
    assert [frame["response"]["status"] for frame in frames.all("response.done")] == ["completed", "completed"]
    first = frames.types.index("response.done")
    assert frames.types[first + 1] == "response.created"


def test_a_commit_makes_an_item_and_no_response(client: Any, question: bytes) -> None:
    client.configure(audio=MANUAL)
    assert client.speak(question) == []
    assert client.send("input_audio_buffer.commit").types == TURN[2:]
    assert client.wait() == []


def test_a_commit_needs_a_tenth_of_a_second(client: Any) -> None:
    client.configure(audio=MANUAL)
    empty = client.refused("input_audio_buffer.commit")
    assert empty["code"] == "input_audio_buffer_commit_empty"
    client.speak(PCM16.silence(99))
    assert "only has 99.00ms" in client.refused("input_audio_buffer.commit")["message"]
    client.speak(PCM16.silence(1))
    assert client.send("input_audio_buffer.commit").types == TURN[2:]


def test_a_cleared_buffer_is_empty(client: Any, question: bytes) -> None:
    client.configure(audio=MANUAL)
    client.speak(question)
    assert client.send("input_audio_buffer.clear").types == ["input_audio_buffer.cleared"]
    assert client.refused("input_audio_buffer.commit")["code"] == "input_audio_buffer_commit_empty"


def test_one_append_has_a_limit(client: Any) -> None:
    client.configure(audio=MANUAL)
    limit = 15 * 1024 * 1024
    assert client.speak(bytes(limit), chunk_bytes=limit) == []
    (frame,) = client.speak(bytes(limit + 2), chunk_bytes=limit + 2)
    assert (frame["error"]["code"], frame["error"]["param"]) == ("audio_above_max_length", "audio")


def test_the_buffer_has_a_limit(client: Any) -> None:
    client.configure(audio=MANUAL)
    piece = 12 * 1024 * 1024
    frames = client.speak(bytes(3 * piece), chunk_bytes=piece)
    assert frames.one("error")["error"]["code"] == "input_audio_buffer_full"


def test_silence_before_a_turn_is_not_kept(client: Any) -> None:
    for _ in range(10):
        client.speak(bytes(4_800_000), chunk_bytes=4_800_000)
    client.configure(audio=MANUAL)
    error = client.refused("input_audio_buffer.commit") if len(client.session.items) else None
    assert error is None


def transcribe(connect: Any, question: bytes, **transcription: Any) -> Any:
    ears = ClipRecogniser()
    ears.add(question[:-48_000], "What is the weather like in Bern?")
    client = connect(ears=ears)
    client.configure(audio={"input": {"transcription": transcription}}, **transcription.pop("also", {}))
    return client, client.speak(question) + client.wait()


def test_speech_is_transcribed_if_asked_for(connect: Any, question: bytes) -> None:
    client, frames = transcribe(connect, question, model="gpt-4o-transcribe")
    prefix = "conversation.item.input_audio_transcription"
    completed = frames.one(f"{prefix}.completed")
    words = "".join(frame["delta"] for frame in frames.all(f"{prefix}.delta"))
    assert completed["transcript"] == words == "What is the weather like in Bern?"
    assert completed["usage"]["type"] == "tokens"
    assert completed["item_id"] == frames[0]["item_id"]
    assert client.session.items[0].content[0].transcript == words


def test_the_brain_hears_the_words_also_without_transcription(connect: Any, question: bytes) -> None:
    ears = ClipRecogniser()
    ears.add(question[:-48_000], "What is the weather like in Bern?")
    client = connect(ears=ears)
    frames = client.speak(question) + client.wait()
    assert client.brain.asked[-1].conversation[0].content[0].transcript == "What is the weather like in Bern?"
    assert not [name for name in frames.types if "transcription" in name]


def test_whisper_is_billed_by_time_and_gives_no_deltas(connect: Any, question: bytes) -> None:
    _, frames = transcribe(connect, question, model="whisper-1")
    assert frames.all("conversation.item.input_audio_transcription.delta") == []
    usage = frames.one("conversation.item.input_audio_transcription.completed")["usage"]
    assert usage["type"] == "duration"
    assert 2 < usage["seconds"] < 5


def test_log_probabilities_come_if_included(connect: Any, question: bytes) -> None:
    include = {"include": ["item.input_audio_transcription.logprobs"]}
    _, frames = transcribe(connect, question, model="gpt-4o-transcribe", also=include)
    completed = frames.one("conversation.item.input_audio_transcription.completed")
    assert "".join(sure["token"] for sure in completed["logprobs"]) == completed["transcript"]


def test_a_diarizing_model_gives_segments(connect: Any, question: bytes) -> None:
    _, frames = transcribe(connect, question, model="gpt-4o-transcribe-diarize")
    segment = frames.one("conversation.item.input_audio_transcription.segment")
    assert segment["text"] == "What is the weather like in Bern?"
    assert 0 == segment["start"] < segment["end"]


def test_a_recogniser_that_breaks_fails_the_transcription_only(connect: Any, question: bytes) -> None:
    class Deaf(ClipRecogniser):
        def hear(self, pcm: bytes) -> str:
            raise ValueError("no ears")

    client = connect(ears=Deaf())
    client.configure(audio={"input": {"transcription": {"model": "whisper-1"}}})
    frames = client.speak(question) + client.wait()
    assert frames.one("conversation.item.input_audio_transcription.failed")["error"]["code"] == "transcription_failed"
    assert frames.one("response.done")["response"]["status"] == "completed"


def test_a_silent_user_is_spoken_to_after_the_idle_timeout(connect: Any) -> None:
    client = connect(pace=math.inf)
    client.configure(audio=listen(idle_timeout_ms=6_000))
    frames = client.send("response.create")
    spoken_s = (
        sum(len(base64.b64decode(frame["delta"])) for frame in frames.all("response.output_audio.delta")) / 48_000
    )
    assert client.wait(spoken_s + 5.9) == []
    frames = client.wait(0.2)
    assert frames.types[:5] == ["input_audio_buffer.timeout_triggered", *TURN[2:], "response.created"]
    assert frames[0]["item_id"] == frames[1]["item_id"]


def test_a_user_who_speaks_is_not_idle(connect: Any, question: bytes) -> None:
    client = connect(pace=math.inf)
    client.configure(audio=listen(idle_timeout_ms=6_000))
    client.send("response.create")
    client.speak(question[:96_000])
    assert client.wait(60.0) == []


def test_semantic_vad_waits_longer_for_the_patient(connect: Any, question: bytes) -> None:
    ends = {}
    audio = question + PCM16.silence(4_000)
    for eagerness in ("low", "high"):
        client = connect()
        client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": eagerness}}})
        ends[eagerness] = client.speak(audio).all("input_audio_buffer.speech_stopped")[-1]["audio_end_ms"]
    assert ends["low"] - ends["high"] == 900


def test_semantic_vad_waits_longest_where_the_sentence_is_not_whole(connect: Any, question: bytes) -> None:
    class Unsure(ClipRecogniser):
        def hear(self, pcm: bytes) -> str:
            return "I would like to know the weather in"

    client = connect(ears=Unsure())
    client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "high"}}})
    assert "input_audio_buffer.speech_stopped" not in client.speak(question).types
    assert "input_audio_buffer.speech_stopped" in client.speak(PCM16.silence(2_000)).types


def test_semantic_vad_does_not_split_a_recording_at_a_pause_that_it_cannot_judge(connect: Any, question: bytes) -> None:
    ears = ClipRecogniser()
    ears.add(question, "Hello! What is the weather in Bern today?")
    client = connect(ears=ears)
    client.configure(audio={"input": {"turn_detection": {"type": "semantic_vad"}}})
    assert client.speak(question).types.count("input_audio_buffer.speech_stopped") == 1


def test_a_transcription_session_transcribes_each_turn_and_answers_none(connect: Any, question: bytes) -> None:
    ears = ClipRecogniser()
    ears.add(question[:-48_000], "What is the weather like in Bern?")
    client = connect(ears=ears, kind="transcription")
    client.configure(audio={"input": {"transcription": {"model": "gpt-4o-transcribe"}}})
    frames = client.speak(question) + client.wait()
    assert frames.types[:5] == TURN
    assert frames[-1]["transcript"] == "What is the weather like in Bern?"
    assert "response.created" not in frames.types


def test_a_transcription_session_of_the_beta_has_names_of_its_own(connect: Any, question: bytes) -> None:
    client = connect(kind="transcription", dialect="beta")
    assert client.opening.types == ["transcription_session.created"]
    change = {"input_audio_transcription": {"model": "whisper-1"}}
    (frame,) = client.send("transcription_session.update", session=change)
    assert frame["type"] == "transcription_session.updated"
    frames = client.speak(question) + client.wait()
    assert frames.types[-1] == "conversation.item.input_audio_transcription.completed"
