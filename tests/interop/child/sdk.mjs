// sdk.mjs MODULES WHAT: the vendors' clients with nothing but their environment. Words are printed as they come, one piece a line.
import { createRequire } from 'node:module';
import { createReadStream } from 'node:fs';

const [modules, what, extra] = process.argv.slice(2);
const load = (name) => createRequire(modules + '/package.json')(name);
const patient = { maxRetries: 0, timeout: 30000 };
const hello = [{ role: 'user', content: 'hello' }];
const made = (module, name) => new (module[name] ?? module.default ?? module)(patient);

async function each(stream, text) {
  for await (const piece of stream) if (text(piece)) console.log('WORDS', text(piece).trim());
}

const chats = (client) => ({
  ask: async () => console.log('ANSWER', (await client.chat.completions.create({ model: 'm', messages: hello })).choices[0].message.content),
  stream: async () => each(await client.chat.completions.create({ model: 'm', messages: hello, stream: true }), (p) => p.choices[0]?.delta?.content),
  upload: async () => console.log('ANSWER', (await client.files.create({ file: createReadStream(extra), purpose: 'user_data' })).bytes),
});

const clients = {
  openai: () => chats(made(load('openai'), 'OpenAI')),
  groq: () => chats(made(load('groq-sdk'), 'Groq')),
  anthropic: () => {
    const client = made(load('@anthropic-ai/sdk'), 'Anthropic');
    const wish = { model: 'm', max_tokens: 10, messages: hello };
    return {
      ask: async () => console.log('ANSWER', (await client.messages.create(wish)).content[0].text),
      stream: async () => each(client.messages.stream(wish), (p) => p.delta?.text),
    };
  },
  gemini: () => {
    const { GoogleGenAI } = load('@google/genai');
    const client = new GoogleGenAI({ apiKey: process.env.GEMINI_API_KEY });
    const wish = { model: 'gemini-test', contents: 'hello' };
    return {
      ask: async () => console.log('ANSWER', (await client.models.generateContent(wish)).text),
      stream: async () => each(await client.models.generateContentStream(wish), (p) => p.text),
    };
  },
  socket: () => ({
    echo: () => new Promise((done, failed) => {
      const socket = new (load('ws'))(process.env.SOCKET_BASE_URL.replace(/^http/, 'ws') + '/echo',
        { headers: { Authorization: 'Bearer ' + process.env.SOCKET_API_KEY } });
      const sent = ['one', 'two '.repeat(20000), 'three'];
      let got = 0;
      socket.on('open', () => sent.forEach((s) => socket.send(s)));
      socket.on('message', (data) => {
        if (data.toString() !== sent[got++]) failed(new Error('another echo'));
        if (got === sent.length) socket.close(1000);
      });
      socket.on('close', (code) => { console.log('ANSWER', got, code); done(); });
      socket.on('error', failed);
    }),
  }),
};

const [who, action] = what.split(':');
await clients[who]()[action]();
