// ways.mjs URL: the http module by CONNECT through http_proxy, then fetch, which reads the environment itself from Node 24 on.
import http from 'node:http';
import https from 'node:https';

const to = new URL(process.argv[2]), proxy = new URL(process.env.http_proxy);
const authorization = 'Basic ' + Buffer.from(`${proxy.username}:${proxy.password}`).toString('base64');
const port = to.port || 443;
const socket = await new Promise((done, failed) => {
  const asked = http.request({ host: proxy.hostname, port: proxy.port, method: 'CONNECT', path: `${to.hostname}:${port}`,
    headers: { 'Proxy-Authorization': authorization } });
  asked.on('connect', (response, s) => response.statusCode === 200 ? done(s) : failed(new Error(`CONNECT ${response.statusCode}`)));
  asked.on('error', failed);
  asked.end();
});
await new Promise((done, failed) => {
  https.get({ host: to.hostname, port, path: '/', socket, agent: false, servername: to.hostname }, async (response) => {
    let text = '';
    for await (const part of response) text += part;
    console.log('CONNECT', response.statusCode, text.trim());
    done();
  }).on('error', failed);
});
if (Number(process.versions.node.split('.')[0]) < 24) {
  console.log('FETCH has no proxy in Node', process.versions.node);
} else {
  const response = await fetch(to);
  console.log('FETCH', response.status, (await response.text()).trim());
}
