// `openai-realtime-api`, a client of the beta: one scenario, told as its user sees it.

import { RealtimeClient } from 'openai-realtime-api';
import { fail, main, next, pieces, tell } from './told.mjs';

const MODEL = 'gpt-4o-realtime-preview-2024-12-17';
const WEATHER = {
  name: 'get_weather',
  description: 'Tells the current weather in a city.',
  parameters: { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] },
};

async function connect(url, sessionConfig = {}) {
  const client = new RealtimeClient({ url, apiKey: 'test-key', model: MODEL, sessionConfig });
  client.realtime.on('server.error', fail);
  const updated = next(client.realtime, 'server.session.updated');
  await client.connect();
  await client.waitForSessionCreated();
  const { session } = await updated;
  return { client, session };
}

const completed = (client, role) =>
  next(client, 'conversation.item.completed', ({ item }) => item.role === role && item.formatted);
const spoken = ({ item }) => ({ transcript: item.formatted.transcript, samples: item.formatted.audio.length });
const answered = (client) => completed(client, 'assistant').then(spoken);
const write = (client, text) => client.sendUserMessageContent([{ type: 'input_text', text }]);

main({
  async text(url) {
    const { client, session } = await connect(url, { modalities: ['text'], instructions: 'Be brief.' });
    const answer = completed(client, 'assistant');
    write(client, 'One two three four.');
    const { item } = await answer;
    tell({ modalities: session.modalities, instructions: session.instructions, text: item.formatted.text });
    tell({ items: client.conversation.getItems().map(({ role, status }) => [role, status]) });
    client.disconnect();
  },

  async manual(url, recording) {
    const { client, session } = await connect(url);
    const answer = answered(client);
    for (const piece of await pieces(recording)) client.appendInputAudio(new Int16Array(piece));
    client.createResponse();
    tell({ turn_detection: session.turn_detection, ...(await answer) });
    client.disconnect();
  },

  async vad(url, recording) {
    const { client } = await connect(url, { turn_detection: { type: 'server_vad' } });
    const [speech, answer] = [next(client, 'conversation.interrupted'), answered(client)];
    const heard = next(client.realtime, 'server.conversation.item.input_audio_transcription.completed');
    for (const piece of await pieces(recording)) client.appendInputAudio(new Int16Array(piece));
    const { item_id: item } = await speech;
    const { transcript } = await heard;
    tell({ ...(await answer), heard: transcript });
    const user = client.conversation.getItem(item);
    tell({ user: user.formatted.transcript, samples: user.formatted.audio.length });
    client.disconnect();
  },

  async tool(url, question) {
    const { client } = await connect(url, { modalities: ['text'] });
    client.addTool(WEATHER, ({ city }) => {
      tell({ tool: 'get_weather', city });
      return { weather: 'Sunny, 23 degrees.' };
    });
    const answer = completed(client, 'assistant');
    write(client, question);
    const { item } = await answer;
    tell({ text: item.formatted.text });
    client.disconnect();
  },

  async cancel(url) {
    const { client } = await connect(url);
    const [done, truncated] = ['response.done', 'conversation.item.truncated'].map((name) =>
      next(client.realtime, `server.${name}`),
    );
    const loud = next(client, 'conversation.updated', ({ delta }) => delta?.audio);
    write(client, 'Tell me a story.');
    const { item } = await loud;
    client.cancelResponse(item.id, 1200);
    const { response } = await done;
    tell({ status: response.status, reason: response.status_details.reason });
    tell({ mine: (await truncated).item_id === item.id, samples: item.formatted.audio.length });
    client.disconnect();
  },
});
