// Drives one browser through meetings on tenants' hosts, and asserts what a person and a network see of them.
//
// Called with a plan in JSON on standard input; see tests/browser/browser.rs for what is in it.
// Exits with 1 at the first thing that is not as it should be.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { CLIENT_PATH, launch, screenshot, untilReady } from './browser.mjs';
import { Recorder } from './recorder.mjs';

const plan = JSON.parse(readFileSync(0, 'utf8'));
// The client leaves the port out of its addresses, so 443 has to lead to the gateway. Nothing else is found at all.
const browser = await launch(plan, `MAP *.localhost:443 127.0.0.1:${plan.port}, MAP * ~NOTFOUND`);
try {
  await strangersAreRefused();
  const rooms = [];
  for (const room of plan.rooms) rooms.push(await enter(room));
  serversStayApart(rooms);
  for (const room of rooms) await staysReady(room);
  for (const room of rooms) await comesBack(room);
  await fullMeeting(plan.full);
  await landing(plan.landing);
  for (const room of rooms) await leave(room);
} finally {
  await browser.close();
}

async function strangersAreRefused() {
  const page = await browser.newPage();
  await assert.rejects(page.goto('https://stranger.localhost/'), /ERR_SSL_UNRECOGNIZED_NAME_ALERT/);
  await page.close();
}

// Follows a join link into a meeting.
async function enter(room) {
  const page = await browser.newPage();
  const recorder = await Recorder.start(browser, page);
  const response = await page.goto(room.join);
  const security = await response.securityDetails();
  assert.equal(security.issuer, 'Anteroom development CA', room.label);
  assert.equal(security.subjectName, room.host, room.label);
  const entered = { ...room, page, recorder };
  await untilReady(entered, plan.screenshots);
  await screenshot(page, plan.screenshots, room.label);
  looksRight(entered);
  return entered;
}

// What a page shows, asked for and got.
function looksRight({ label, host, meeting, user, server, page, recorder }) {
  const url = new URL(page.url());
  assert.equal(url.origin, `https://${host}`, label);
  assert.match(url.pathname, CLIENT_PATH, label);
  // BBB's own switch for the layout may stay.
  assert.equal(url.searchParams.get('sessionToken'), null, `${label}: nothing of the session is left in the address bar`);
  assert.equal(url.hash, '', label);

  for (const address of recorder.addresses) {
    assert.ok(['https:', 'wss:'].includes(address.protocol), `${label}: ${address} is not encrypted`);
    assert.equal(address.host, host, `${label}: ${address} left the tenant's host`);
  }
  assert.ok(recorder.sockets.size >= 2, `${label}: GraphQL and media signalling`);
  for (const socket of recorder.sockets.values()) assert.ok(socket.isOpen, `${label}: ${socket.url} is open`);

  assert.ok(recorder.bodies.length >= 5 && recorder.headers.length >= 5, `${label}: page, script, settings, slide, sockets`);
  for (const [where, text] of recorder.received()) {
    for (const word of plan.forbidden) {
      assert.ok(!text.includes(word), `${label}: ${where} tells of ${word}: …${around(text, word)}…`);
    }
  }

  for (const path of ['/graphql', '/bbb-webrtc-sfu']) {
    const seen = recorder.seenBy(path);
    assert.ok(seen, `${label}: ${path} echoed`);
    assert.equal(seen.server, `https ${server.name}`, `${label}: ${path}`);
    assert.equal(seen.host, server.authority, `${label}: ${path}`);
    assert.equal(seen.origin, `http ${server.authority}`, `${label}: ${path}`);
    assert.deepEqual(seen.cookies, ['JSESSIONID'], `${label}: ${path}`);
    assert.equal(seen.path, path, label);
    assert.equal(seen.meetingID, meeting, `${label}: ${path}`);
    assert.equal(seen.user, user, `${label}: ${path}`);
  }
}

function around(text, word) {
  const at = text.indexOf(word);
  return text.slice(Math.max(0, at - 80), at + 80);
}

// One server has one name in the path, and two servers have two.
function serversStayApart(rooms) {
  const slugs = new Map();
  for (const { server, page, label } of rooms) {
    const [, slug] = CLIENT_PATH.exec(new URL(page.url()).pathname);
    assert.equal(slugs.get(server.name) ?? slug, slug, label);
    slugs.set(server.name, slug);
  }
  assert.equal(new Set(slugs.values()).size, slugs.size);
  assert.ok(slugs.size > 1, 'the meetings are on two servers');
}

// With all other pages open beside it.
async function staysReady({ label, page, recorder }) {
  assert.equal(await page.locator('#state').getAttribute('data-state'), 'ready', label);
  assert.equal(await page.evaluate(() => window.__bbb.reconnects), 0, label);
  for (const socket of recorder.sockets.values()) assert.ok(socket.isOpen, `${label}: ${socket.url} is open`);
}

// A reload finds the meeting again, without the token in the address.
async function comesBack(room) {
  room.recorder.forget();
  await room.page.reload();
  await untilReady(room, plan.screenshots);
  looksRight(room);
}

async function fullMeeting({ label, host, join: link }) {
  const page = await browser.newPage();
  const recorder = await Recorder.start(browser, page);
  const response = await page.goto(link);
  await screenshot(page, plan.screenshots, label);
  assert.equal(response.status(), 403, label);
  assert.equal(await page.locator('h1').innerText(), 'This meeting is full.');
  assert.match(await page.locator('main').innerText(), /maxParticipantsReached/);
  staysPut(label, host, page, recorder);
  await page.close();
}

async function landing({ label, host }) {
  const page = await browser.newPage();
  const recorder = await Recorder.start(browser, page);
  const response = await page.goto(`https://${host}/`);
  await screenshot(page, plan.screenshots, label);
  assert.equal(response.status(), 200, label);
  staysPut(label, host, page, recorder);
  await page.close();
}

function staysPut(label, host, page, recorder) {
  assert.equal(new URL(page.url()).origin, `https://${host}`, label);
  for (const address of recorder.addresses) assert.equal(address.host, host, `${label}: ${address}`);
}

// Leaving ends on the tenant's own landing page.
async function leave({ label, host, page }) {
  await page.locator('#leave').click();
  await page.waitForURL(`https://${host}/`);
  assert.ok((await page.locator('h1').innerText()).length > 0, label);
}
