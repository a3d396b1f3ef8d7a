// The broker under test, in a folder of its own. NOCTULE_BIN and NOCTULE_PLUGIN_PATH as for the end-to-end tests.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createWriteStream, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

const SECONDS = 20;
const root = resolve(import.meta.dirname ?? new URL(".", import.meta.url).pathname, "../..");

export const executable = resolve(root, process.env.NOCTULE_BIN ?? "build/noctule");
export const plugins = resolve(root, process.env.NOCTULE_PLUGIN_PATH ?? "build/plugins");

export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** Waits until `check` returns something true, and returns it. */
export async function until(what, check) {
  const deadline = Date.now() + SECONDS * 1000;
  for (;;) {
    const found = await check();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`in vain for ${SECONDS} s: ${what}`);
    await sleep(25);
  }
}

/** A folder for one test, removed by `remove`. */
export function makeFolder() {
  const path = mkdtempSync(join(tmpdir(), "noctule-browser-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** Starts the broker with the YAML text `configuration` in `folder`; { log, stop }. */
export async function startBroker(folder, configuration, environment = {}) {
  const file = join(folder, "noctule.yaml");
  const logFile = join(folder, "broker.log");
  if (configuration) writeFileSync(file, configuration);
  const output = createWriteStream(logFile);
  await once(output, "open");
  const child = spawn(executable, ["run", "-c", file], {
    cwd: folder,
    stdio: ["ignore", output, output],
    env: { ...process.env, NOCTULE_PLUGIN_PATH: plugins, ...environment },
  });
  const log = () => readFileSync(logFile, "utf8");
  await until("the broker is ready", () => {
    if (child.exitCode !== null) throw new Error(`the broker ended:\n${log()}`);
    return / ready /.test(log());
  });
  const stop = async () => {
    if (child.exitCode !== null) return child.exitCode;
    child.kill("SIGTERM");
    await once(child, "exit");
    return child.exitCode;
  };
  return { log, stop };
}
