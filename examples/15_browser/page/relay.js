// Speech over a WebSocket to our own server, where a session runs: pcm16 at 24 kHz in base64, both ways.
const RATE_HZ = 24000;

export async function overRelay(microphone, { on, over }) {
  const context = new AudioContext({ sampleRate: RATE_HZ });
  const socket = new WebSocket(new URL("relay", location.href.replace(/^http/, "ws")));
  const player = new Player(context);
  let open = true;

  const close = () => {
    open = false;
    microphone.getTracks().forEach((track) => track.stop());
    socket.close();
    context.close();
  };
  socket.onmessage = (message) => {
    const event = JSON.parse(message.data);
    if (event.type === "response.output_audio.delta") player.play(samplesOf(event.delta));
    if (event.type === "input_audio_buffer.speech_started") player.hush();
    on(event);
  };
  try {
    await new Promise((opened, failed) => {
      socket.onopen = opened;
      socket.onclose = () => failed(new Error("The server took no call."));
    });
    socket.onclose = (closed) => { if (open) over(closed.reason || "The connection was lost."); };
    await context.audioWorklet.addModule("microphone.js");
    const ear = new AudioWorkletNode(context, "microphone", { numberOfOutputs: 0 });
    ear.port.onmessage = ({ data }) => {
      if (socket.readyState === WebSocket.OPEN)
        socket.send(JSON.stringify({ type: "input_audio_buffer.append", audio: base64(data) }));
    };
    context.createMediaStreamSource(microphone).connect(ear);
  } catch (error) {
    close();
    throw error;
  }
  return { close };
}

// Plays pieces one after another, and none of them any more once it is hushed.
class Player {
  constructor(context) {
    this.context = context;
    this.until = 0;
    this.playing = new Set();
  }

  play(samples) {
    const buffer = this.context.createBuffer(1, samples.length, RATE_HZ);
    buffer.copyToChannel(samples, 0);
    const source = new AudioBufferSourceNode(this.context, { buffer });
    source.connect(this.context.destination);
    source.onended = () => this.playing.delete(source);
    this.until = Math.max(this.until, this.context.currentTime + 0.05);
    source.start(this.until);
    this.until += buffer.duration;
    this.playing.add(source);
  }

  hush() {
    this.playing.forEach((source) => source.stop());
    this.playing.clear();
    this.until = 0;
  }
}

function base64(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer)));
}

function samplesOf(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  return Float32Array.from(new Int16Array(bytes.buffer), (sample) => sample / 32768);
}
