// The official client with nothing but its environment: ANTHROPIC_BASE_URL and ANTHROPIC_API_KEY.
import { createRequire } from 'node:module';
const Anthropic = createRequire(process.argv[2] + '/package.json')('@anthropic-ai/sdk');
const client = new (Anthropic.default ?? Anthropic)({ maxRetries: 0, timeout: 30000 });
const answer = await client.messages.create({ model: 'm', max_tokens: 10, messages: [{ role: 'user', content: 'hello' }] });
console.log('ANSWER', answer.content[0].text);
