// The page: one button, the words of both sides, and what is heard. It decides nothing about the assistant.
import { overRelay } from "./relay.js";
import { overWebRtc } from "./webrtc.js";

const ways = { relay: overRelay, webrtc: overWebRtc };
const button = document.querySelector("#talk");
const state = document.querySelector("#state");
const said = document.querySelector("#said");
let line = null;

function lineOf(id, who) {
  const key = `${who}-${id}`;
  let found = document.getElementById(key);
  if (!found) {
    found = document.createElement("li");
    found.id = key;
    found.className = who;
    said.append(found);
  }
  return found;
}

const shown = {
  "input_audio_buffer.speech_started": (event) => {
    state.textContent = "I am listening.";
    lineOf(event.item_id, "you");
  },
  "input_audio_buffer.speech_stopped": () => { state.textContent = "…"; },
  "conversation.item.input_audio_transcription.completed": (event) => {
    lineOf(event.item_id, "you").textContent = event.transcript;
  },
  "response.output_audio_transcript.delta": (event) => { lineOf(event.item_id, "assistant").append(event.delta); },
  "response.output_text.delta": (event) => { lineOf(event.item_id, "assistant").append(event.delta); },
  "response.output_audio_transcript.done": () => { state.textContent = "Your turn."; },
  "error": (event) => { state.textContent = event.error.message; },
};

async function begin() {
  state.textContent = "One moment.";
  const microphone = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true },
  });
  line = await ways[document.body.dataset.way](microphone, {
    on: (event) => shown[event.type]?.(event),
    over: (why) => end(why),
  });
  button.textContent = "Hang up";
  button.classList.add("on");
  state.textContent = "Say something.";
}

function end(why = "") {
  line?.close();
  line = null;
  button.textContent = "Talk";
  button.classList.remove("on");
  state.textContent = why;
}

button.addEventListener("click", async () => {
  if (line) return end();
  button.disabled = true;
  try {
    await begin();
  } catch (error) {
    end(error.message);
  } finally {
    button.disabled = false;
  }
});
