// What the scripts share: they tell the test what they see, a JSON object on a line of its own, and never hang.

import { readFile } from 'node:fs/promises';
import { inspect } from 'node:util';

const PATIENCE_MS = 15_000;
const PIECE_BYTES = 960; // 20 ms of pcm16 at 24 kHz

export function tell(seen) {
  process.stdout.write(`${JSON.stringify(seen)}\n`);
}

export function fail(why) {
  process.stderr.write(`${inspect(why, { depth: 4 })}\n`, () => process.exit(1));
}

/** Gives the pieces of a recording, as a microphone does. */
export async function pieces(path) {
  const audio = await readFile(path);
  const count = Math.ceil(audio.length / PIECE_BYTES);
  return Array.from({ length: count }, (_, place) => {
    const piece = audio.subarray(place * PIECE_BYTES, (place + 1) * PIECE_BYTES);
    return piece.buffer.slice(piece.byteOffset, piece.byteOffset + piece.length);
  });
}

/** Gives the event of an emitter, once there is one that fits. */
export function next(emitter, name, fits = () => true) {
  return new Promise((resolve) => {
    const listener = (...args) => {
      if (fits(...args)) {
        emitter.off(name, listener);
        resolve(args[0]);
      }
    };
    emitter.on(name, listener);
  });
}

/** Runs the scenario that the command line names. */
export function main(scenarios) {
  const [name, ...args] = process.argv.slice(2);
  setTimeout(() => fail(new Error(`${name} took more than ${PATIENCE_MS} ms`)), PATIENCE_MS).unref();
  process.on('unhandledRejection', fail);
  scenarios[name](...args).then(() => process.exit(0), fail);
}
