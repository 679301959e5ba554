// Follows all links that the demo prints, in one browser that finds hosts below `localhost` by itself.
//
// Called with a plan in JSON on standard input; see tests/browser.rs for what is in it.

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
  }
  assert.equal(slugs.size, 2, 'the demo has two servers');
} finally {
  await browser.close();
}
