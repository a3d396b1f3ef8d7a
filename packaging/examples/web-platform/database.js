// What the platform knows: accounts, the sessions of browsers, and tokens for the broker. Of secrets it keeps hashes.

import Database from "better-sqlite3";

export function openDatabase(file) {
  const database = new Database(file);
  database.pragma("journal_mode = WAL");
  database.pragma("foreign_keys = ON");
  database.exec(`
    CREATE TABLE IF NOT EXISTS users (
      name TEXT PRIMARY KEY, password TEXT NOT NULL, admin INTEGER NOT NULL DEFAULT 0) STRICT;
    CREATE TABLE IF NOT EXISTS sessions (
      hash TEXT PRIMARY KEY, user TEXT NOT NULL REFERENCES users ON DELETE CASCADE, expires INTEGER NOT NULL) STRICT;
    CREATE TABLE IF NOT EXISTS tokens (
      hash TEXT PRIMARY KEY, session TEXT NOT NULL REFERENCES sessions ON DELETE CASCADE,
      client TEXT NOT NULL, expires INTEGER NOT NULL) STRICT;
  `);
  return database;
}
