// Starts the platform and, beside it, the broker. Ends when one of them ends, or with Ctrl-C.
//
// PORT (3000), MQTT_WEB_PORT (8083): where they listen. NOCTULE: the broker's executable. PLATFORM_DATA: folder of the
// database and of the broker's control socket. PLATFORM_ADMIN: who becomes administrator when he signs up.

import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { startPlatform } from "./server.js";

const here = dirname(fileURLToPath(import.meta.url));
const { env } = process;
const port = Number(env.PORT ?? 3000), brokerPort = Number(env.MQTT_WEB_PORT ?? 8083);
const data = resolve(env.PLATFORM_DATA ?? join(here, "data"));
const noctule = env.NOCTULE ?? "noctule";
const brokerConfig = join(here, "noctule.yaml");

mkdirSync(data, { recursive: true, mode: 0o700 });
Object.assign(env, { PORT: port, MQTT_WEB_PORT: brokerPort, PLATFORM_DATA: data,
  PLATFORM_SECRET: env.PLATFORM_SECRET ?? randomBytes(32).toString("base64url") });

const server = await startPlatform({ port, brokerPort, noctule, brokerConfig, secret: env.PLATFORM_SECRET,
  admin: env.PLATFORM_ADMIN, database: join(data, "platform.sqlite") });
const broker = spawn(noctule, ["run", "-c", brokerConfig], { stdio: ["ignore", "inherit", "inherit"] });

function stop(code) {
  server.close();
  server.closeAllConnections();
  if (broker.exitCode === null) broker.kill("SIGTERM");
  process.exitCode = code;
}

broker.on("error", (error) => {
  console.error(`${noctule}: ${error.message}; NOCTULE=PATH names the broker's executable`);
  stop(1);
});
broker.on("exit", (code) => stop(code ?? 1));
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => stop(0));
console.log(`platform: http://127.0.0.1:${port}/`);
