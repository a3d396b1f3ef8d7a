// The example platform beside the broker: sign up, log in, see messages, be cut off.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";

import { executable, freePort, makeFolder, plugins, until } from "./broker.js";
import { openChromium } from "./chromium.js";

const folder = makeFolder();
const platform = resolve(fileURLToPath(new URL(".", import.meta.url)), "../web-platform");
const SECRET = "the broker's word";
let address, child, browser;

const log = () => readFileSync(join(folder.path, "log"), "utf8");

before(async () => {
  const port = await freePort();
  address = `http://127.0.0.1:${port}`;
  const output = createWriteStream(join(folder.path, "log"));
  await once(output, "open");
  child = spawn(process.execPath, ["start.js"], {
    cwd: platform,
    stdio: ["ignore", output, output],
    env: { ...process.env, PORT: port, MQTT_WEB_PORT: await freePort(), PLATFORM_DATA: folder.path, NOCTULE: executable,
      NOCTULE_PLUGIN_PATH: plugins, PLATFORM_SECRET: SECRET, PLATFORM_ADMIN: "boss" },
  });
  await until("the platform and the broker are ready", () => {
    if (child.exitCode !== null) throw new Error(`the platform ended:\n${log()}`);
    return /^platform: /m.test(log()) && / ready /.test(log());
  });
  browser = await openChromium();
});

after(async () => {
  await browser?.close();
  if (child?.exitCode === null) {
    child.kill("SIGTERM");
    await once(child, "exit");
  }
  assert.equal(child?.exitCode, 0, log());
  folder.remove();
});

function post(path, body, headers = {}) {
  return fetch(`${address}${path}`, { method: "POST", body: JSON.stringify(body),
    headers: { "Content-Type": "application/json", ...headers } });
}

async function signUp(name) {
  const answer = await post("/api/signup", { name, password: `password of ${name}` });
  assert.equal(answer.status, 200);
  return { Cookie: answer.headers.get("Set-Cookie").split(";")[0] };
}

const ask = (path, body) => post(`/mqtt/${path}`, body, { Authorization: `Bearer ${SECRET}` });

test("the endpoints answer as mosquitto-go-auth's, and more", async () => {
  const cookie = await signUp("carl");
  assert.equal((await post("/api/mqtt-token", {})).status, 401);
  const token = await (await post("/api/mqtt-token", {}, cookie)).json();
  const login = { username: "carl", password: token.password, clientid: token.clientId };
  assert.equal((await post("/mqtt/user", login)).status, 401, "only the broker may ask");
  const answer = await (await ask("user", login)).json();
  assert.equal(answer.ok, true);
  assert.equal(answer.result, "allow");
  assert.equal(answer.is_superuser, false);
  assert.ok(answer.expire_at > Date.now() / 1000);
  assert.ok(answer.acl.length > 0);
  for (const wrong of [{ password: "x" }, { clientid: "other" }, { username: "boss" }])
    assert.equal((await ask("user", { ...login, ...wrong })).status, 403);
  assert.equal((await ask("user", { username: "carl", password: ["x"], clientid: "y" })).status, 400);
  assert.equal((await ask("superuser", { username: "carl" })).status, 403);
  for (const [topic, acc, status] of [["rooms/lobby", 2, 200], ["rooms/#", 4, 200], ["users/carl/a", 1, 200],
    ["users/ann/a", 1, 403], ["#", 4, 403], ["announcements/x", 2, 403], ["announcements/x", 1, 200],
    ["$share/g/rooms/+", 4, 200], ["$SYS/#", 4, 403], ["rooms/lobby", 8, 403]])
    assert.equal((await ask("acl", { username: "carl", clientid: "c", topic, acc })).status, status, `${topic} ${acc}`);
  const form = await fetch(`${address}/mqtt/acl`, { method: "POST", headers: { Authorization: `Bearer ${SECRET}` },
    body: new URLSearchParams({ acc: "4", clientid: "c", topic: "rooms/#", username: "carl" }) });
  assert.equal(form.status, 200);
});

test("what nobody gets by", async () => {
  assert.equal((await post("/api/signup", { name: "x/+", password: "long enough" })).status, 400);
  assert.equal((await post("/api/signup", { name: "carl", password: "another one" })).status, 409);
  assert.equal((await post("/api/login", { name: "carl", password: "not his password" })).status, 403);
  assert.equal((await post("/api/login", { name: { a: 1 }, password: "x" })).status, 403);
  assert.equal((await fetch(`${address}/api/login`, { method: "POST", body: "name=carl" })).status, 415);
  assert.equal((await post("/api/users/carl/revoke", {}, await signUp("dora"))).status, 403);
  for (let i = 0; i < 9; i++) await post("/api/login", { name: "carl", password: "not his password" });
  assert.equal((await post("/api/login", { name: "carl", password: "password of carl" })).status, 429);
});

test("sign up, log in, see a message arrive, be cut off when revoked", async () => {
  const { page } = browser;
  const violations = [];
  page.on("console", (message) => /Content Security Policy/.test(message.text()) && violations.push(message.text()));
  const fill = async (button) => {
    await page.fill("[name=name]", "ann");
    await page.fill("[name=password]", "correct horse");
    await page.click(`button[value=${button}]`);
  };
  const connected = () => page.waitForFunction(() => document.getElementById("state").textContent === "connected");
  await page.goto(address);
  await fill("signup");
  await connected();
  await page.click("#leave");
  await page.waitForSelector("#entrance:not([hidden])");
  await fill("login");
  await connected();

  await page.fill("[name=text]", "hello <b>world</b>");
  await page.click("#say button");
  await page.waitForFunction(() => document.getElementById("messages").textContent.includes("ann: hello <b>world</b>"));

  await page.reload();
  await connected();
  assert.deepEqual(violations, []);

  const boss = await signUp("boss");
  assert.equal((await post("/api/users/ann/revoke", {}, boss)).status, 204);
  await page.waitForFunction(() => document.getElementById("notice").textContent === "Your session has ended.");
  assert.match(log(), /closed by the broker.*user=ann.*reason=revoked/);
  await fill("login");
  await connected();
});
