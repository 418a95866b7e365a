"""Two people, two languages: one translation session for each direction, with captions of both in a file.

python 11_interpreter.py [english.wav french.wav]

The files are mono, 16 bits, 24 kHz. Without them the English is the recording that comes with the simulator, and the
French is made of tones. The simulator speaks no languages: it repeats what it heard after the name of the language.
"""

import asyncio
import os
import sys
from importlib.resources import as_file, files
from pathlib import Path

from realtime_events import Endpoint, Realtime, Session, TranslatedAudio, Translation
from realtime_events.audio import PCM16, Pacer, pieces, read_wav, write_wav
from realtime_events.events.translation import SessionClosed
from realtime_events.simulator import ClipRecogniser, Simulator, ToneVoice

ENGLISH = "Hello! What is the weather in Bern today?"
FRENCH = "Il fait dix-huit degrés et le soleil brille."
PIECE_MS = 200  # the service's own frames
SILENCE_MS = 1_000  # it translates as it hears, so the silence of a pause is sent, too
PACE = 4

rt = Realtime()


@rt.on("session.closed")
async def closed(event: SessionClosed, session: Session) -> None:
    print(f"{session.id} is translated to its end")


async def speak(translation: Translation, speech: bytes) -> None:
    """Send speech four times as fast as it was spoken, then wait until all of it is translated."""
    pacer, loop = Pacer(PACE), asyncio.get_running_loop()
    for piece in pieces(speech, piece_ms=PIECE_MS, silence_ms=SILENCE_MS):
        await asyncio.sleep(pacer.wait_s(loop.time(), PIECE_MS))
        await translation.send_audio(piece)
    await translation.finish()


async def interpret(endpoint: Endpoint, speech: bytes, *, direction: str, to: str) -> None:
    """Translate one person, show the captions, and write what the other one hears and reads."""
    heard = bytearray()
    async with rt.translate(to=to, transcribe_input=True, endpoint=endpoint) as translation:
        speaking = asyncio.create_task(speak(translation, speech))
        async for piece in translation:
            if isinstance(piece, TranslatedAudio):
                heard += piece.audio
            else:
                print(f"{direction} {piece.elapsed_ms:6} ms {piece.of:6} {piece.text}")
        await speaking
    save(direction, bytes(heard), translation)


def save(direction: str, heard: bytes, translation: Translation) -> None:
    """Write what was heard, its captions, and those of what was said."""
    write_wav(f"{direction}.wav", heard)
    Path(f"{direction}.vtt").write_text(translation.export("vtt"), "utf-8")
    Path(f"{direction}.srt").write_text(translation.export("srt", of="input"), "utf-8")
    print(f"{direction}: {PCM16.duration_ms(len(heard)) / 1000:.1f} s of translated speech, and captions of both sides")


async def converse(endpoint: Endpoint, english: bytes, french: bytes) -> None:
    """Translate both people at the same time."""
    async with asyncio.TaskGroup() as both:
        both.create_task(interpret(endpoint, english, direction="en-fr", to="fr"))
        both.create_task(interpret(endpoint, french, direction="fr-en", to="en"))


def recorded() -> tuple[bytes, bytes]:
    """Give the English and the French that need no files."""
    with as_file(files("realtime_events.simulator") / "data" / "weather_bern.wav") as path:
        return read_wav(path), b"".join(ToneVoice().speak(FRENCH))


async def main() -> None:
    english, french = map(read_wav, sys.argv[1:3]) if len(sys.argv) > 2 else recorded()
    if {"OPENAI_API_KEY", "OPENAI_REALTIME_URL"} & os.environ.keys():
        await converse(Endpoint.openai(), english, french)
        return
    print("OPENAI_API_KEY is not set: talking to the simulator, which understands only what it was told of")
    ears = ClipRecogniser()
    for clip, words in zip(recorded(), (ENGLISH, FRENCH), strict=True):
        ears.add(clip, words)
    async with Simulator(recogniser=ears) as sim:
        await converse(sim.endpoint, english, french)


if __name__ == "__main__":
    asyncio.run(main())
