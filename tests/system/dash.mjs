// SPDX-License-Identifier: GPL-2.0-or-later
// A resource's DASH manifest in Shaka Player on a real Chromium: plays, switches the rendition, plays on.
// usage: node dash.mjs WEB_FOLDER MANIFEST_URL
// Prints one JSON object of what it saw; exit status 1 when it does not play.
import http from 'node:http';
import path from 'node:path';

import {launch} from './chromium.mjs';

const [web, manifest] = process.argv.slice(2);
const shaka = path.join(path.resolve(web), 'node_modules/shaka-player/dist/shaka-player.compiled.js');
const seen = {failedRequests: []};

function must(condition, text) {
  if (!condition) {
    throw new Error(text);
  }
}

const videoNow = (page) => page.evaluate(() => {
  const video = document.getElementById('dash');
  const quality = video.getVideoPlaybackQuality();
  return {time: video.currentTime, height: video.videoHeight, total: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames};
});

async function play(page) {
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  await page.addScriptTag({path: shaka});
  seen.tracks = await page.evaluate(async (url) => {
    const video = document.createElement('video');
    video.id = 'dash';
    video.muted = true;
    document.body.append(video);
    const player = new shaka.Player();
    window.dashPlayer = player;
    window.dashErrors = [];
    player.addEventListener('error', (e) => window.dashErrors.push(String(e.detail.code)));
    await player.attach(video);
    player.configure({abr: {enabled: false}});
    await player.load(url).catch((e) => Promise.reject(new Error(`Shaka: ${e.code} ${JSON.stringify(e.data)}`)));
    await video.play();
    return player.getVariantTracks().map((t) => ({height: t.height, codecs: t.codecs}));
  }, manifest);
  await page.waitForFunction(() => document.getElementById('dash').currentTime > 2, null, {timeout: 30000});
  seen.before = await videoNow(page);
}

async function change(page) {
  const height = await page.evaluate((now) => {
    const other = window.dashPlayer.getVariantTracks().find((t) => t.height !== now);
    window.dashPlayer.selectVariantTrack(other, true);
    return other.height;
  }, seen.before.height);
  await page.waitForFunction((h) => document.getElementById('dash').videoHeight === h, height, {timeout: 30000});
  const changed = await videoNow(page);
  await page.waitForFunction((t) => document.getElementById('dash').currentTime > t + 2, changed.time, {timeout: 30000});
  seen.after = await videoNow(page);
  must(seen.after.height === height, `${seen.after.height} lines are shown, ${height} were asked for`);
}

// A page of another origin than the rig's, as a publisher's would be.
const pages = http.createServer((_, answer) => {
  answer.setHeader('Content-Type', 'text/html');
  answer.end('<!doctype html><title>player</title><link rel="icon" href="data:,"><body></body>');
});
await new Promise((ready) => pages.listen(0, '127.0.0.1', ready));

const browser = await launch(web);
let status = 0;
try {
  const page = await browser.newPage({viewport: {width: 1280, height: 900}});
  page.on('response', (r) => {
    if (r.status() >= 400) {
      seen.failedRequests.push(`${r.status()} ${r.url()}`);
    }
  });
  await play(page);
  must(seen.tracks.length >= 2, `${seen.tracks.length} tracks: two were expected`);
  await change(page);
  seen.errors = await page.evaluate(() => window.dashErrors);
  must(seen.errors.length === 0, `Shaka reports ${seen.errors}`);
  must(seen.failedRequests.length === 0, 'requests failed');
} catch (e) {
  seen.failure = String(e);
  status = 1;
} finally {
  await browser.close();
  pages.close();
}
console.log(JSON.stringify(seen));
process.exit(status);
