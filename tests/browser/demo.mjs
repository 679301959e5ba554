// Follows all links that the demo prints, in one browser that finds hosts below `localhost` by itself.
//
// Called with a plan in JSON on standard input; see tests/browser/browser.rs for what is in it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { CLIENT_PATH, launch, screenshot, untilReady } from './browser.mjs';

const plan = JSON.parse(readFileSync(0, 'utf8'));
const browser = await launch(plan, 'MAP * ~NOTFOUND, EXCLUDE *.localhost');
try {
  const slugs = new Set();
  for (const link of plan.links) {
    const page = await browser.newPage();
    const { origin } = new URL(link);
    const label = `demo-${new URL(link).hostname.split('.')[0]}`;
    await page.goto(link);
    await untilReady({ label, page }, plan.screenshots);
    await screenshot(page, plan.screenshots, label);
    assert.equal(new URL(page.url()).origin, origin);
    const [, slug] = CLIENT_PATH.exec(new URL(page.url()).pathname);
    slugs.add(slug);
    if (label === 'demo-multi-account') await isBranded(page, origin);
  }
  assert.equal(slugs.size, 2, 'the demo has two servers');
} finally {
  await browser.close();
}

// The federation's logo, colour, title and style sheet, all from its own host.
async function isBranded(page, origin) {
  const seen = await page.evaluate(() => ({
    title: document.title,
    logo: document.querySelector('#logo').src,
    width: document.querySelector('#logo').naturalWidth,
    banner: document.querySelector('#banner').textContent,
    colour: document.querySelector('#banner').style.background,
    sheets: [...document.styleSheets].map(({ href }) => href),
  }));
  assert.match(seen.title, /Wagtail meetings$/);
  assert.ok(seen.logo.startsWith(`${origin}/.anteroom/`) && seen.width > 0, seen.logo);
  assert.equal(seen.banner, 'Wagtail Federation: be heard');
  assert.equal(seen.colour, 'rgb(10, 75, 120)');
  assert.ok(seen.sheets.some((href) => href?.startsWith(`${origin}/.anteroom/`)), String(seen.sheets));
}
