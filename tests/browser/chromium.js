// Headless Chromium with a profile of its own, which goes when it is closed.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
  "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-proxy-server", "--disable-dev-shm-usage"];

/** { page, close }; `keys` are SHA-256 hashes of public keys whose certificates are taken without an authority. */
export async function openChromium(keys = []) {
  const profile = mkdtempSync(join(tmpdir(), "noctule-chromium-"));
  const context = await chromium.launchPersistentContext(profile, {
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    headless: true,
    args: [...ARGUMENTS, ...(keys.length ? [`--ignore-certificate-errors-spki-list=${keys.join(",")}`] : [])],
  });
  const close = async () => {
    await context.close();
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  };
  return { page: context.pages()[0] ?? await context.newPage(), close };
}
