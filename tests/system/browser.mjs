// SPDX-License-Identifier: GPL-2.0-or-later
// The rig's page in a real Chromium. usage: node browser.mjs WEB_FOLDER CONTROL_URL TOKEN TITLE [SCREENSHOT]
// Prints one JSON object of what it saw; exit status 1 when the page does not do its work.

import {launch} from './chromium.mjs';

const [web, control, token, title, screenshot] = process.argv.slice(2);
const seen = {errors: [], failedRequests: []};

function must(condition, text) {
  if (!condition) {
    throw new Error(text);
  }
}

const videoNow = (page) => page.evaluate(() => {
  const video = document.getElementById('video');
  const quality = video.getVideoPlaybackQuality();
  return {time: video.currentTime, height: video.videoHeight, total: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames, text: document.getElementById('player-text').textContent};
});

async function waitTime(page, seconds, timeout) {
  await page.waitForFunction((s) => document.getElementById('video').currentTime > s, seconds, {timeout});
}

async function play(page) {
  await page.goto(`${control}/#token=${token}`);
  const row = page.locator('.job', {hasText: title});
  await row.getByRole('button', {name: 'Play'}).waitFor({timeout: 20000});
  seen.hash = await page.evaluate(() => location.hash);
  must(seen.hash === '', 'the token stays in the address');
  await row.getByRole('button', {name: 'Play'}).click();
  await waitTime(page, 1, 30000);
  seen.levels = await page.evaluate(() => window.reelrigPlayer.levels.map((l) => l.height));
  must(seen.levels.length >= 2, `levels ${seen.levels}: two were expected`);
  await waitTime(page, 3, 30000);
  seen.before = await videoNow(page);
}

async function devices(page) {
  const cpu = page.locator('#devices tr', {hasText: 'cpu'}).filter({hasText: /running/}).filter({hasText: /[1-9]\d* H\/s/});
  await cpu.first().waitFor({timeout: 30000});
  seen.device = await cpu.first().innerText();
  must((await page.locator('#alarm').textContent()) === '', 'the page raises an alarm about devices');
}

async function switchLevel(page) {
  const other = await page.evaluate(() => {
    const player = window.reelrigPlayer;
    window.reelrigSwitched = [];
    player.on('hlsLevelSwitched', (_, data) => window.reelrigSwitched.push(data.level));
    const next = player.currentLevel === 0 ? player.levels.length - 1 : 0;
    player.nextLevel = next;
    return next;
  });
  await page.waitForFunction((level) => window.reelrigSwitched.includes(level), other, {timeout: 30000});
  const height = seen.levels[other];
  await page.waitForFunction((h) => document.getElementById('video').videoHeight === h, height, {timeout: 30000});
  seen.after = await videoNow(page);
  await waitTime(page, seen.after.time + 1, 30000);
  seen.end = await videoNow(page);
  // From the third second on: before it the page starts, beside a rig that mines. ladders.mjs has the strict bound.
  const shown = seen.end.total - seen.before.total;
  const dropped = seen.end.dropped - seen.before.dropped;
  must(shown > 24, `${shown} frames were shown`);
  must(dropped < 0.05 * shown, `${dropped} of ${shown} frames were dropped`);
  must(!/stopped/i.test(seen.end.text), seen.end.text);
}

async function narrow(page) {
  await page.setViewportSize({width: 390, height: 844});
  await page.waitForTimeout(300);
  seen.width390 = await page.evaluate(() => document.documentElement.scrollWidth);
  must(seen.width390 <= 390, `the page is ${seen.width390} px wide on a 390 px screen`);
}

async function wrongToken(browser) {
  const page = await browser.newPage();
  await page.goto(`${control}/#token=00`);
  await page.locator('#login').waitFor({state: 'visible', timeout: 10000});
  await page.fill('#token', token);
  await page.getByRole('button', {name: 'Open'}).click();
  await page.locator('.job', {hasText: title}).waitFor({timeout: 10000});
  await page.close();
}

const browser = await launch(web);
let status = 0;
try {
  const page = await browser.newPage({viewport: {width: 1280, height: 900}});
  page.on('pageerror', (e) => seen.errors.push(String(e)));
  page.on('console', (m) => {
    if (m.type() === 'error') {
      seen.errors.push(`${m.text()} ${m.location().url}`);
    }
  });
  page.on('response', (r) => {
    if (r.status() >= 400) {
      seen.failedRequests.push(`${r.status()} ${r.url()}`);
    }
  });
  await play(page);
  if (screenshot) {
    await page.screenshot({path: screenshot});
  }
  await devices(page);
  await switchLevel(page);
  await narrow(page);
  must(seen.errors.length === 0, 'the page reports errors');
  must(seen.failedRequests.length === 0, 'requests failed');
  await wrongToken(browser);
} catch (e) {
  seen.failure = String(e);
  status = 1;
} finally {
  await browser.close();
}
console.log(JSON.stringify(seen));
process.exit(status);
