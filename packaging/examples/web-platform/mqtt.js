// What the broker asks: the three endpoints of mosquitto-go-auth, and the richer answer to a login.

import { timingSafeEqual } from "node:crypto";
import { Router, json, urlencoded } from "express";

import { now } from "./accounts.js";

const LOGIN_SECONDS = 15 * 60;
const READ = 1, WRITE = 2, SUBSCRIBE = 4;

// One table: sent along with a login, and looked at when the broker asks about a topic.
const RULES = [
  { action: "all", topic: "rooms/#" },
  { action: "all", topic: "users/${username}/#" },
  { action: "subscribe", topic: "announcements/#" },
];

// Whether all topics that `filter` stands for are among those of `rule`.
export function covers(rule, filter) {
  const wide = rule.split("/"), narrow = filter.split("/");
  for (let i = 0; i < wide.length; i++) {
    if (wide[i] === "#") return true;
    if (narrow[i] === undefined || narrow[i] === "#") return false;
    if (wide[i] !== "+" && wide[i] !== narrow[i]) return false;
  }
  return wide.length === narrow.length;
}

export function mayAccess(user, topic, acc) {
  const actions = { [READ]: "subscribe", [WRITE]: "publish", [SUBSCRIBE]: "subscribe" };
  const filter = topic.replace(/^\$share\/[^/]+\//, "");
  if (!actions[acc] || filter.startsWith("$")) return false;
  return RULES.some(({ action, topic: rule }) => (action === "all" || action === actions[acc]) &&
    covers(rule.replace("${username}", user.name), filter));
}

// Nobody but the broker may ask: it would be a place to try tokens.
function onlyFor(secret) {
  const expected = Buffer.from(`Bearer ${secret}`);
  return (request, answer, next) => {
    const given = Buffer.from(request.get("Authorization") ?? "");
    if (given.length === expected.length && timingSafeEqual(given, expected)) return next();
    answer.sendStatus(401);
  };
}

const texts = (body, ...names) => names.every((name) => typeof body?.[name] === "string");

export function mqttRouter(accounts, secret) {
  const router = Router();
  router.use(onlyFor(secret), json(), urlencoded());

  router.post("/user", (request, answer) => {
    if (!texts(request.body, "username", "password", "clientid")) return answer.status(400).json({ ok: false });
    const { username, password, clientid } = request.body;
    const user = accounts.checkToken(username, password, clientid);
    if (!user) return answer.status(403).json({ ok: false, result: "deny", error: "no such token" });
    answer.json({
      ok: true,
      result: "allow",
      is_superuser: user.admin === 1,
      expire_at: Math.min(now() + LOGIN_SECONDS, user.sessionExpires),
      acl: RULES.map((rule) => ({ permission: "allow", ...rule })),
    });
  });

  router.post("/superuser", (request, answer) => {
    if (!texts(request.body, "username")) return answer.status(400).json({ ok: false });
    const ok = accounts.find(request.body.username)?.admin === 1;
    answer.status(ok ? 200 : 403).json({ ok });
  });

  router.post("/acl", (request, answer) => {
    if (!texts(request.body, "username", "topic", "clientid")) return answer.status(400).json({ ok: false });
    const user = accounts.find(request.body.username);
    const ok = user !== undefined && mayAccess(user, request.body.topic, Number(request.body.acc));
    answer.status(ok ? 200 : 403).json({ ok });
  });

  return router;
}
