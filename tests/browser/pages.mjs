// Looks at each page on a desk and in a hand, in four languages, and waits on the one that waits.
//
// Called with a plan in JSON on standard input; see tests/browser/pages.rs for what is in it.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { open, screenshot, untilReady } from './browser.mjs';

const plan = JSON.parse(readFileSync(0, 'utf8'));
const SIZES = [{ width: 1280, height: 860 }, { width: 360, height: 740 }];
const LANGUAGES = ['en-GB', 'de-DE', 'fr-FR', 'es-ES'];

const browser = await open(plan, `MAP *.localhost:443 127.0.0.1:${plan.port}, MAP * ~NOTFOUND`);
try {
  for (const locale of LANGUAGES) {
    for (const [at, viewport] of SIZES.entries()) {
      const colorScheme = at === 0 ? 'light' : 'dark';
      const context = await browser.newContext({ locale, viewport, colorScheme });
      for (const page of plan.pages) await visit(context, page, locale, viewport);
      // And those that do not come here, as they would be sent.
      const own = plan.rendered.filter(({ language }) => language === locale.slice(0, 2));
      assert.ok(own.length > 10);
      const shown = await context.newPage();
      for (const { name, html } of own) {
        await shown.setContent(html);
        await look(shown, name, locale, viewport);
      }
      await context.close();
    }
  }
  await waits();
} finally {
  await browser.close();
}

// A page as the gateway sends it.
async function visit(context, { name, host, path }, locale, viewport) {
  const page = await context.newPage();
  const told = [];
  page.on('console', (message) => told.push(message.text()));
  page.on('request', (request) => assert.equal(new URL(request.url()).host, host, name));
  await page.goto(`https://${host}${path}`);
  await look(page, name, locale, viewport);
  assert.deepEqual(told.filter((text) => /policy|refused/i.test(text)), [], name);
  await page.close();
}

async function look(page, name, locale, viewport) {
  const label = `${name} ${locale} ${viewport.width}`;
  await screenshot(page, plan.screenshots, `page-${name}-${locale.slice(0, 2)}-${viewport.width}`);
  const seen = await page.evaluate(measure);
  assert.equal(seen.lang, locale.slice(0, 2), label);
  assert.equal(seen.headings, 1, label);
  assert.ok(seen.title.length > 0 && seen.width <= viewport.width, `${label}: ${seen.width} px`);
  for (const { text, contrast } of seen.texts) assert.ok(contrast >= 4.5, `${label}: ${text} has ${contrast}`);
  assert.ok(seen.texts.length >= 3, label);
}

// What can be read on a page, and how well (WCAG 2, contrast).
function measure() {
  const numbers = (color) => color.match(/[\d.]+/g).map(Number);
  const light = (color) => {
    const [r, g, b] = numbers(color).map((part) => part / 255).map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = getComputedStyle(at).backgroundColor;
      if (numbers(color)[3] !== 0) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const texts = [...document.querySelectorAll('h1, p, a, span, footer')].filter((element) => element.innerText.trim()).map((element) => {
    const [a, b] = [light(getComputedStyle(element).color), light(ground(element))];
    return { text: element.innerText, contrast: (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) };
  });
  return {
    lang: document.documentElement.lang,
    headings: document.querySelectorAll('h1').length,
    title: document.title,
    width: document.documentElement.scrollWidth,
    texts,
  };
}

// Whoever came too early is in the meeting once it has begun, without having done anything.
async function waits() {
  const context = await browser.newContext({ viewport: SIZES[0] });
  const page = await context.newPage();
  await page.goto(plan.waits);
  assert.equal(await page.locator('h1').innerText(), 'The meeting has not begun yet.');
  assert.equal((await fetch(`${plan.stage}/begin`)).status, 200);
  await page.waitForURL(/\/html5client\//, { timeout: 30_000 });
  await untilReady({ label: 'waited', page }, plan.screenshots);
  await context.close();
}
