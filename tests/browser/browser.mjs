// A browser, and what it is asked on every page of a meeting.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

export const CLIENT_PATH = /^\/s\/([a-z2-7]{8})\/html5client\/$/;
const READY_MS_MAX = 30_000;
const STEPS = ['version', 'settings', 'graphql', 'stuns', 'sfu', 'livekit', 'slide', 'rtt'];

// Trusts the development CA as a person would make it: names and chains are checked. `rules` say what is found where.
function options({ chromium: executablePath, home, ca }, rules, args = []) {
  const trust = join(home, '.pki', 'nssdb');
  mkdirSync(trust, { recursive: true });
  execFileSync('certutil', ['-d', `sql:${trust}`, '-N', '--empty-password']);
  execFileSync('certutil', ['-d', `sql:${trust}`, '-A', '-t', 'C,,', '-n', 'development CA', '-i', ca]);
  return {
    executablePath,
    env: { ...process.env, HOME: home, XDG_CONFIG_HOME: '', XDG_DATA_HOME: '' },
    args: [
      '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--no-proxy-server', `--host-resolver-rules=${rules}`, ...args,
    ],
  };
}

// A browser with one profile, that keeps what frames of other sites store apart as people's browsers do; the driver's own
// list of features has that off, and the last list counts.
export function launch(plan, rules) {
  const viewport = { width: 1280, height: 860 };
  const args = ['--disable-features=Translate,OptimizationHints,MediaRouter'];
  return chromium.launchPersistentContext(join(plan.home, 'profile'), { ...options(plan, rules, args), viewport });
}

// A browser with private windows, that know nothing of each other.
export function open(plan, rules) {
  return chromium.launch(options(plan, rules));
}

// Waits until a page of a meeting has all it needs.
export async function untilReady({ label, page }, screenshots) {
  try {
    await page.waitForFunction(() => document.querySelector('#state')?.dataset.state === 'ready', null, { timeout: READY_MS_MAX });
  } catch (error) {
    await screenshot(page, screenshots, `${label}-not-ready`);
    throw new Error(`${label} is not ready:\n${await page.locator('body').innerText()}`, { cause: error });
  }
  for (const step of STEPS) {
    assert.equal(await page.locator(`[data-step="${step}"]`).getAttribute('data-ok'), 'true', `${label}: ${step}`);
  }
}

export function screenshot(page, screenshots, name) {
  mkdirSync(screenshots, { recursive: true });
  return page.screenshot({ path: join(screenshots, `${name}.png`) });
}
