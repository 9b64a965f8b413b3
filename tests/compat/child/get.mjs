// get.mjs WHAT URL [MODULES]: one GET with fetch, undici or axios, with nothing but the environment. What fails is printed as Node prints it.
import { createRequire } from 'node:module';

const [what, url, modules] = process.argv.slice(2);
const load = (name) => createRequire(modules + '/package.json')(name);
const ways = {
  fetch: async () => (await fetch(url)).text(),
  undici: async () => {
    const { EnvHttpProxyAgent, request } = load('undici');
    const answer = await request(url, { dispatcher: new EnvHttpProxyAgent() });
    return answer.body.text();
  },
  axios: async () => (await load('axios').get(url)).data,
};
console.log((await ways[what]()).trim());
