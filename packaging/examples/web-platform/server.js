// The web platform: pages, sign-up and login, tokens for the broker.

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import express from "express";

import { isName, isPassword, makeAccounts } from "./accounts.js";
import { openDatabase } from "./database.js";
import { mqttRouter } from "./mqtt.js";

const here = dirname(fileURLToPath(import.meta.url));
const library = join(dirname(createRequire(import.meta.url).resolve("mqtt/package.json")), "dist/mqtt.min.js");
const run = promisify(execFile);
const COOKIE = "session";
const FAILURES_A_MINUTE = 10;

function cookieOf(request) {
  const found = (request.get("Cookie") ?? "").split(/; */).find((pair) => pair.startsWith(`${COOKIE}=`));
  return found?.slice(COOKIE.length + 1);
}

// Forms of other sites cannot send JSON, and their scripts may not; the cookie stays away from them as well.
function onlyJson(request, answer, next) {
  if (request.method === "GET" || request.is("application/json")) return next();
  answer.sendStatus(415);
}

/** Counts failed logins by name, and forgets them all every minute. */
function makeBrake() {
  const failures = new Map();
  setInterval(() => failures.clear(), 60_000).unref();
  return {
    holds: (name) => (failures.get(name) ?? 0) >= FAILURES_A_MINUTE,
    count: (name) => failures.set(name, (failures.get(name) ?? 0) + 1),
  };
}

function apiRouter(accounts, { brokerUrl, noctule, brokerConfig }) {
  const router = express.Router();
  const brake = makeBrake();
  router.use(onlyJson, express.json({ limit: "4kb" }));
  router.use((request, _answer, next) => {
    request.session = accounts.session(cookieOf(request));
    next();
  });

  const enter = (answer, name) => {
    const { secret, seconds } = accounts.startSession(name);
    answer.cookie(COOKIE, secret, { httpOnly: true, sameSite: "strict", maxAge: seconds * 1000,
      secure: process.env.PLATFORM_SECURE === "1" });
    answer.json({ name });
  };
  const loggedIn = (request, answer, next) => (request.session ? next() : answer.sendStatus(401));

  router.post("/signup", async (request, answer) => {
    const { name, password } = request.body ?? {};
    if (!isName(name)) return answer.status(400).json({ error: "A name has 2 to 32 of a-z, 0-9, _ and -." });
    if (!isPassword(password)) return answer.status(400).json({ error: "A password has at least 8 characters." });
    if (!await accounts.signUp(name, password)) return answer.status(409).json({ error: "This name is taken." });
    enter(answer, name);
  });

  router.post("/login", async (request, answer) => {
    const { name, password } = request.body ?? {};
    if (!isName(name) || !isPassword(password)) return answer.status(403).json({ error: "Wrong name or password." });
    if (brake.holds(name)) return answer.status(429).json({ error: "Too many attempts; wait a minute." });
    if (await accounts.logIn(name, password)) return enter(answer, name);
    brake.count(name);
    answer.status(403).json({ error: "Wrong name or password." });
  });

  router.post("/logout", loggedIn, (request, answer) => {
    accounts.endSession(request.session);
    answer.clearCookie(COOKIE).sendStatus(204);
  });

  router.get("/me", loggedIn, (request, answer) => answer.json({ name: request.session.name }));

  // Each connection to the broker has a token of its own, which only works with this client id.
  router.post("/mqtt-token", loggedIn, (request, answer) => {
    const clientId = `web-${request.session.name}-${randomBytes(6).toString("hex")}`;
    answer.json({ url: brokerUrl, username: request.session.name, clientId,
      password: accounts.makeToken(request.session, clientId) });
  });

  // An administrator ends somebody's sessions: here, and on the broker, which disconnects him at once.
  router.post("/users/:name/revoke", loggedIn, async (request, answer) => {
    if (!request.session.admin) return answer.sendStatus(403);
    if (!isName(request.params.name)) return answer.sendStatus(404);
    accounts.endSessions(request.params.name);
    await run(noctule, ["revoke", "-c", brokerConfig, "--username", request.params.name, "--disconnect"]);
    answer.sendStatus(204);
  });

  return router;
}

/** { port, brokerPort, database, secret, admin, noctule, brokerConfig } -> a listening server */
export function startPlatform(options) {
  const accounts = makeAccounts(openDatabase(options.database), options.admin);
  const app = express();
  const brokerUrl = `ws://127.0.0.1:${options.brokerPort}/mqtt`;
  app.disable("x-powered-by");
  app.use((_request, answer, next) => {
    // MQTT.js has its timers in a worker made of a blob, where they go on while the tab is hidden.
    answer.set({ "Content-Security-Policy":
      `default-src 'self'; worker-src blob:; connect-src 'self' ${new URL(brokerUrl).origin}`,
      "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer" });
    next();
  });
  app.use("/mqtt", mqttRouter(accounts, options.secret));
  app.use("/api", apiRouter(accounts, { brokerUrl, ...options }));
  app.get("/mqtt.min.js", (_request, answer) => answer.sendFile(library));
  app.use(express.static(join(here, "public")));
  app.use((error, _request, answer, _next) => {
    const status = error.status ?? 500;
    if (status >= 500) console.error(error);
    answer.sendStatus(status);
  });
  return new Promise((resolve, reject) => {
    const server = app.listen(options.port, "127.0.0.1", (error) => (error ? reject(error) : resolve(server)));
  });
}
