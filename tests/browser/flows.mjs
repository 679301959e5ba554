// One flow of a meeting in a browser, as people have them. Which one, and where, is in the plan.
//
// Called with a plan in JSON on standard input; see tests/flows.rs for what is in it. Exits with 1 at the first thing that is
// not as it should be.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { launch, open, screenshot, untilReady } from './browser.mjs';
import { Watch } from './watch.mjs';

const plan = JSON.parse(readFileSync(0, 'utf8'));
const FLOWS = { privateWindow, embedded, reconnects };

const rules = `MAP *.localhost:443 127.0.0.1:${plan.port}, MAP * ~NOTFOUND`;
// A private window gives frames of other sites no storage at all, which BBB's client does not bear.
const browser = await (plan.flow === 'embedded' ? launch : open)(plan, rules);
try {
  await FLOWS[plan.flow]();
} finally {
  await browser.close();
}

// A window of its own, with nothing that another one has left.
async function window_() {
  const context = await browser.newContext({ viewport: { width: 1280, height: 860 } });
  return { context, watch: new Watch(context) };
}

async function enter(context, link, label) {
  const page = await context.newPage();
  await page.goto(link);
  await untilReady({ label, page }, plan.screenshots);
  return page;
}

async function done(label, watch, hosts = [plan.host]) {
  await watch.check(label, hosts, plan.forbidden);
}

// Asks the stage to do something.
async function stage(what) {
  const response = await fetch(`${plan.stage}/${what}`);
  assert.equal(response.status, 200, what);
  return response.text();
}

// Two windows that know nothing of each other, in one meeting; one is closed and forgets.
async function privateWindow() {
  const [first, second] = [await window_(), await window_()];
  const page = await enter(first.context, plan.links[0], 'private-one');
  await enter(second.context, plan.links[1], 'private-two');
  await screenshot(page, plan.screenshots, 'private-window');
  await done('one', first.watch);
  await done('two', second.watch);
  await second.context.close();
  const third = await window_();
  const stranger = await third.context.newPage();
  // Whoever has nothing but the address is nobody.
  const address = page.url();
  await stranger.goto(address);
  await stranger.waitForFunction(() => document.querySelector('#state')?.dataset.state === 'failed');
  assert.equal(await page.locator('#state').getAttribute('data-state'), 'ready');
}

// A page of another site shows the meeting in a frame, in a browser that gives frames of other sites no cookies that do not
// ask for it.
async function embedded() {
  const [context, watch] = [browser, new Watch(browser)];
  const page = await context.newPage();
  await page.goto(`https://${plan.site}/course`);
  await page.frameLocator('iframe').locator('#state[data-state="ready"]').waitFor({ timeout: 30_000 });
  await screenshot(page, plan.screenshots, 'embedded');
  const cookies = (await context.cookies()).filter(({ domain }) => domain === plan.host);
  assert.ok(cookies.length > 0, 'there is a session');
  for (const { name, sameSite, secure, partitionKey } of cookies) {
    assert.ok(secure && sameSite === 'None' && partitionKey.includes(plan.site), `${name}: ${sameSite}, ${partitionKey}`);
  }
  // Whoever is not named does not get to show it.
  const refused = page.waitForEvent('console', { predicate: (message) => message.text().includes('frame-ancestors') });
  await page.goto(`https://${plan.otherSite}/course`);
  await refused;
  assert.equal(await page.frameLocator('iframe').locator('#state').count(), 0, 'nothing of the meeting is shown');
  await done('embedded', watch, [plan.host, plan.site, plan.otherSite]);
}

// All sockets are cut, and come back by themselves.
async function reconnects() {
  const { context, watch } = await window_();
  const page = await enter(context, plan.links[0], 'reconnects');
  assert.ok(watch.open('/graphql') === 1 && watch.open('/bbb-webrtc-sfu') === 1);
  await stage('cut');
  await page.waitForFunction(() => window.__bbb.reconnects >= 2, null, { timeout: 60_000 });
  await untilReady({ label: 'reconnects', page }, plan.screenshots);
  assert.ok(watch.open('/graphql') === 1 && watch.open('/bbb-webrtc-sfu') === 1);
  await done('reconnects', watch);
}
