// `@openai/agents-realtime` over WebSocket: one scenario of a voice agent, told as its user sees it.

import { hostedMcpTool } from '@openai/agents-core';
import { RealtimeAgent, RealtimeSession, tool } from '@openai/agents-realtime';
import { z } from 'zod';
import { fail, main, next, pieces, tell } from './told.mjs';

const getWeather = tool({
  name: 'get_weather',
  description: 'Tells the current weather in a city.',
  parameters: z.object({ city: z.string() }),
  execute: async ({ city }) => {
    tell({ tool: 'get_weather', city });
    return 'Sunny, 23 degrees.';
  },
});

/** Connects a session; what the SDK cannot parse is told as `refused` by `close`. */
async function connect(url, config = {}, tools = [getWeather]) {
  const agent = new RealtimeAgent({ name: 'Ada', instructions: 'Be brief.', tools });
  const session = new RealtimeSession(agent, { transport: 'websocket', model: 'gpt-realtime-2.1', config });
  session.on('error', fail);
  const refused = new Set();
  const updated = next(session, 'transport_event', (event) => event.type === 'session.updated');
  session.transport.on('*', (event) => {
    refused.add(event.type);
    session.transport.once(event.type, () => refused.delete(event.type));
  });
  await session.connect({ apiKey: 'test-key', url });
  await updated;
  return {
    session,
    close: () => {
      session.close();
      tell({ refused: [...refused] });
    },
  };
}

const server = (session, name) => next(session, 'transport_event', (event) => event.type === name);
const texts = (session) =>
  session.history
    .filter((item) => item.type === 'message')
    .map((item) => [item.role, item.content.map((part) => part.text ?? part.transcript).join('')]);

/** Counts the bytes of audio that a player would get. */
function player(session) {
  const heard = { bytes: 0 };
  session.on('audio', (event) => (heard.bytes += event.data.byteLength));
  return heard;
}

async function interrupted(url, interrupt) {
  const { session, close } = await connect(url, { audio: { input: { turnDetection: { type: 'server_vad' } } } });
  const done = server(session, 'response.done');
  const truncated = server(session, 'conversation.item.truncated');
  const quiet = next(session, 'audio_interrupted');
  const loud = next(session, 'audio');
  session.sendMessage('Tell me a story.');
  await loud;
  await interrupt(session);
  await quiet;
  const { response } = await done;
  const { item_id: item, audio_end_ms } = await truncated;
  tell({ status: response.status, reason: response.status_details?.reason, item, audio_end_ms });
  tell({ output: response.output.map(({ id }) => id) });
  await next(session, 'history_updated');
  close();
}

main({
  async text(url) {
    const { session, close } = await connect(url, { outputModalities: ['text'] });
    const end = next(session, 'agent_end');
    session.sendMessage('One two three four.');
    await end;
    tell({ history: texts(session), tokens: session.usage.totalTokens });
    close();
  },

  async audio(url, recording) {
    const { session, close } = await connect(url);
    const heard = player(session);
    const end = next(session, 'agent_end');
    const transcribed = next(session, 'history_updated', (history) =>
      history.some((item) => item.role === 'user' && item.content[0]?.transcript),
    );
    for (const piece of await pieces(recording)) session.sendAudio(piece);
    await end;
    await transcribed;
    tell({ history: texts(session), bytes: heard.bytes });
    close();
  },

  async tool(url, question) {
    const { session, close } = await connect(url, { outputModalities: ['text'] });
    const answered = next(session, 'history_updated', (history) => {
      const last = history.at(-1);
      return last?.role === 'assistant' && last.status === 'completed';
    });
    session.sendMessage(question);
    await answered;
    tell({ history: texts(session) });
    close();
  },

  async hosted(url, requireApproval, question) {
    const notes = hostedMcpTool({ serverLabel: 'notes', serverUrl: 'https://notes.example', requireApproval });
    const { session, close } = await connect(url, { outputModalities: ['text'] }, [notes]);
    session.on('tool_approval_requested', (context, agent, { approvalItem }) => {
      tell({ approval: approvalItem.rawItem.name });
      session.approve(approvalItem);
    });
    const called = new Promise((resolve) => session.on('mcp_tool_call_completed', (c, a, call) => resolve(call)));
    const answered = next(session, 'agent_end', (context, agent, output) => output);
    if (!session.availableMcpTools.length) await next(session, 'mcp_tools_changed');
    tell({ tools: session.availableMcpTools.map(({ name }) => name) });
    session.sendMessage(question);
    const { name, output } = await called;
    tell({ name, output });
    await answered;
    tell({ history: texts(session) });
    close();
  },

  interrupt: (url) => interrupted(url, async (session) => session.interrupt()),

  barge_in: (url, recording) =>
    interrupted(url, async (session) => {
      for (const piece of await pieces(recording)) session.sendAudio(piece);
    }),
});
