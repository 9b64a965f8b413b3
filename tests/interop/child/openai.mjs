// The official client with nothing but its environment: OPENAI_BASE_URL and OPENAI_API_KEY.
import { createRequire } from 'node:module';
const OpenAI = createRequire(process.argv[2] + '/package.json')('openai');
const client = new (OpenAI.default ?? OpenAI)({ maxRetries: 0, timeout: 30000 });
const answer = await client.chat.completions.create({ model: 'm', messages: [{ role: 'user', content: 'hello' }] });
console.log('ANSWER', answer.choices[0].message.content);
