// MQTT.js in a real browser, over ws and wss.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { after, before, test } from "node:test";

import { freePort, makeFolder, startBroker } from "./broker.js";
import { openChromium } from "./chromium.js";

const library = join(dirname(createRequire(import.meta.url).resolve("mqtt/package.json")), "dist/mqtt.min.js");
const folder = makeFolder();
const ports = {};
let broker, pages, browser;

// A certificate that its key's hash makes good for the browser, which knows no authority of ours.
function makeCertificate() {
  const key = join(folder.path, "server.key");
  const certificate = join(folder.path, "server.pem");
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
    "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=localhost",
    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"], { stdio: "ignore" });
  const publicKey = execFileSync("openssl", ["x509", "-in", certificate, "-pubkey", "-noout"]);
  const der = execFileSync("openssl", ["pkey", "-pubin", "-outform", "der"], { input: publicKey });
  return execFileSync("openssl", ["dgst", "-sha256", "-binary"], { input: der }).toString("base64");
}

before(async () => {
  for (const name of ["ws", "wss", "strict", "page"]) ports[name] = await freePort();
  const keyHash = makeCertificate();
  broker = await startBroker(folder.path, `
workers: 2
allow_anonymous: true
default_access: allow
listeners:
  - {name: ws, bind: "127.0.0.1:${ports.ws}", transport: websocket,
     origins: ["http://127.0.0.1:${ports.page}"]}
  - {name: wss, bind: "127.0.0.1:${ports.wss}", transport: websocket, path: /secure,
     tls: {certificate: server.pem, key: server.key}}
  - {name: strict, bind: "127.0.0.1:${ports.strict}", transport: websocket, origins: [https://app.example]}
`);
  pages = createServer((request, answer) => {
    const script = request.url === "/mqtt.js";
    answer.setHeader("Content-Type", script ? "text/javascript" : "text/html");
    answer.end(script ? readFileSync(library) : "<!doctype html><title>MQTT</title><script src=/mqtt.js></script>");
  }).listen(ports.page, "127.0.0.1");
  await once(pages, "listening");
  browser = await openChromium([keyHash]);
  await browser.page.goto(`http://127.0.0.1:${ports.page}/`);
});

after(async () => {
  await browser?.close();
  pages?.close();
  assert.equal(await broker?.stop(), 0);
  folder.remove();
});

// In the page: messages of each QoS and size come back as they went; then an orderly end.
async function exchange({ url, protocolVersion }) {
  const client = mqtt.connect(url, { protocolVersion, reconnectPeriod: 0, connectTimeout: 10000 });
  const event = (name) => new Promise((resolve, reject) => {
    client.once(name, (...values) => resolve(values));
    client.once("error", reject);
    setTimeout(() => reject(new Error(`no ${name}`)), 10000);
  });
  await event("connect");
  const protocol = client.stream.socket?.protocol ?? client.stream.url;
  await client.subscribeAsync("browser/#", { qos: 2 });
  for (const [qos, size] of [[0, 0], [1, 1], [2, 125], [0, 126], [1, 65536], [2, 300000]]) {
    const payload = new Uint8Array(size).map((_, i) => i * 7);
    const message = event("message");
    await client.publishAsync(`browser/${qos}`, payload, { qos });
    const [topic, got, packet] = await message;
    if (topic !== `browser/${qos}` || packet.qos !== qos || got.length !== size || got.some((b, i) => b !== payload[i]))
      throw new Error(`${topic}: ${got.length} bytes at QoS ${packet.qos}, sent ${size} at ${qos}`);
  }
  // Many at once share frames.
  let count = 0;
  const all = new Promise((resolve) => client.on("message", () => ++count === 1000 && resolve()));
  for (let i = 0; i < 1000; i++) client.publish("browser/many", `${i}`);
  await all;
  await client.endAsync();
  return protocol;
}

for (const protocolVersion of [4, 5]) {
  test(`ws, MQTT version ${protocolVersion}`, async () => {
    await browser.page.evaluate(exchange, { url: `ws://127.0.0.1:${ports.ws}/mqtt?token=x`, protocolVersion });
  });

  test(`wss, MQTT version ${protocolVersion}`, async () => {
    await browser.page.evaluate(exchange, { url: `wss://localhost:${ports.wss}/secure`, protocolVersion });
  });
}

// In the page, without a library: how the browser sees a connection end.
function ending({ url, protocol, send }) {
  return new Promise((resolve) => {
    const socket = new WebSocket(url, protocol);
    socket.onopen = () => send && socket.send(send);
    socket.onclose = ({ code, wasClean }) => resolve({ code, wasClean });
  });
}

test("a page of another origin is refused", async () => {
  const url = `ws://127.0.0.1:${ports.strict}/mqtt`;
  assert.equal((await browser.page.evaluate(ending, { url, protocol: "mqtt" })).code, 1006);
  assert.match(broker.log(), new RegExp(`403: its origin is not one of .origins.: http://127.0.0.1:${ports.page}`));
});

test("text is closed with 1003, and the browser finds that clean", async () => {
  const url = `ws://127.0.0.1:${ports.ws}/mqtt`;
  assert.deepEqual(await browser.page.evaluate(ending, { url, protocol: "mqtt", send: "hello" }),
    { code: 1003, wasClean: true });
});

test("another subprotocol is refused", async () => {
  const url = `ws://127.0.0.1:${ports.ws}/mqtt`;
  assert.equal((await browser.page.evaluate(ending, { url, protocol: "chat" })).code, 1006);
});

test("a person who opens the address is told what it is for", async () => {
  const answer = await fetch(`http://127.0.0.1:${ports.ws}/`);
  assert.equal(answer.status, 426);
  assert.match(await answer.text(), /MQTT over WebSocket/);
});
