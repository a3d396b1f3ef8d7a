// Accounts, sessions and tokens. Times are in seconds since 1970.

import { createHash, randomBytes, scrypt as scryptCallback, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";

const scrypt = promisify(scryptCallback);
const COST = { N: 2 ** 15, r: 8, p: 1, maxmem: 64 * 1024 * 1024 };
const SESSION_SECONDS = 8 * 60 * 60;
const TOKEN_SECONDS = 60;

export const now = () => Math.floor(Date.now() / 1000);
const hash = (secret) => createHash("sha256").update(secret).digest("base64url");
const newSecret = () => randomBytes(32).toString("base64url");

async function hashPassword(password, salt = randomBytes(16)) {
  const key = await scrypt(password.normalize("NFKC"), salt, 32, COST);
  return `${salt.toString("base64")}:${key.toString("base64")}`;
}

async function matches(password, stored) {
  const again = await hashPassword(password, Buffer.from(stored.split(":")[0], "base64"));
  return timingSafeEqual(Buffer.from(again), Buffer.from(stored));
}

/** A name is one level of a topic, whatever it is put into. */
export const isName = (name) => typeof name === "string" && /^[a-z0-9][a-z0-9_-]{1,31}$/.test(name);
export const isPassword = (password) =>
  typeof password === "string" && password.length >= 8 && password.length <= 200;

export function makeAccounts(database, admin) {
  const find = database.prepare("SELECT * FROM users WHERE name = ?");
  const add = database.prepare("INSERT INTO users (name, password, admin) VALUES (?, ?, ?) ON CONFLICT DO NOTHING");
  const addSession = database.prepare("INSERT INTO sessions VALUES (?, ?, ?)");
  const findSession = database.prepare(`
    SELECT sessions.hash, sessions.expires, users.name, users.admin FROM sessions JOIN users ON users.name = sessions.user
    WHERE sessions.hash = ? AND sessions.expires > ?`);
  const endSession = database.prepare("DELETE FROM sessions WHERE hash = ?");
  const endSessions = database.prepare("DELETE FROM sessions WHERE user = ?");
  const addToken = database.prepare("INSERT INTO tokens VALUES (?, ?, ?, ?)");
  const findToken = database.prepare(`
    SELECT users.name, users.admin, sessions.expires AS sessionExpires FROM tokens
    JOIN sessions ON sessions.hash = tokens.session JOIN users ON users.name = sessions.user
    WHERE tokens.hash = ? AND users.name = ? AND tokens.client = ? AND tokens.expires > ? AND sessions.expires > ?`);
  const sweepTokens = database.prepare("DELETE FROM tokens WHERE expires <= ?");
  const sweepSessions = database.prepare("DELETE FROM sessions WHERE expires <= ?");
  // Who is unknown costs as much time as who is known.
  const nobody = hashPassword(newSecret());

  return {
    find: (name) => find.get(name),

    /** False: the name is taken. */
    async signUp(name, password) {
      return add.run(name, await hashPassword(password), Number(name === admin)).changes === 1;
    },

    async logIn(name, password) {
      const user = find.get(name);
      return await matches(password, user?.password ?? await nobody) && user !== undefined;
    },

    /** The secret that goes into the cookie. */
    startSession(name) {
      sweepSessions.run(now());
      const secret = newSecret();
      addSession.run(hash(secret), name, now() + SESSION_SECONDS);
      return { secret, seconds: SESSION_SECONDS };
    },

    session: (secret) => (secret ? findSession.get(hash(secret), now()) : undefined),
    endSession: (session) => endSession.run(session.hash),
    endSessions: (name) => endSessions.run(name),

    /** A password for one client id of the broker, good for a minute: long enough to connect. */
    makeToken(session, client) {
      sweepTokens.run(now());
      const secret = newSecret();
      addToken.run(hash(secret), session.hash, client, now() + TOKEN_SECONDS);
      return secret;
    },

    /** The user whose token it is, or undefined. */
    checkToken: (name, token, client) => findToken.get(hash(token), name, client, now(), now()),
  };
}
