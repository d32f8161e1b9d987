// SPDX-License-Identifier: GPL-2.0-or-later
// A ladder's folder in hls.js on a real Chromium, every rendition forced in turn while it plays.
// usage: node ladders.mjs WEB_FOLDER LADDER_FOLDER SECONDS
// Prints one JSON object: heights shown, frames shown and dropped after the first second; exit status 1 when it does
// not play through.
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';

import {launch} from './chromium.mjs';

const [web, ladder, seconds] = process.argv.slice(2);
const script = path.join(path.resolve(web), 'node_modules/hls.js/dist/hls.min.js');
const seen = {failedRequests: []};
const types = {'.m3u8': 'application/vnd.apple.mpegurl', '.mp4': 'video/mp4', '.m4s': 'video/iso.segment'};

function must(condition, text) {
  if (!condition) {
    throw new Error(text);
  }
}

const server = http.createServer((request, answer) => {
  const name = decodeURIComponent(new URL(request.url, 'http://x').pathname);
  const file = path.join(path.resolve(ladder), path.normalize(name));
  if (name === '/') {
    answer.setHeader('Content-Type', 'text/html');
    answer.end('<!doctype html><title>ladder</title><link rel="icon" href="data:,"><video id="video" width="320" muted></video>');
  } else if (!fs.existsSync(file)) {
    answer.statusCode = 404;
    answer.end();
  } else {
    answer.setHeader('Content-Type', types[path.extname(file)] ?? 'application/octet-stream');
    fs.createReadStream(file).pipe(answer);
  }
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));

const now = (page) => page.evaluate(() => {
  const video = document.getElementById('video');
  const quality = video.getVideoPlaybackQuality();
  return {time: video.currentTime, ended: video.ended, height: video.videoHeight, total: quality.totalVideoFrames,
    dropped: quality.droppedVideoFrames};
});

async function play(page) {
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.addScriptTag({path: script});
  seen.levels = await page.evaluate(async () => {
    const video = document.getElementById('video');
    window.trouble = [];
    window.player = new window.Hls({startLevel: 0, maxBufferLength: 4});
    window.player.on(window.Hls.Events.ERROR, (_, data) => data.fatal && window.trouble.push(data.details));
    window.player.loadSource('/master.m3u8');
    window.player.attachMedia(video);
    await new Promise((ready) => window.player.once(window.Hls.Events.MANIFEST_PARSED, ready));
    await video.play();
    return window.player.levels.map((level) => level.height);
  });
  await page.waitForFunction(() => document.getElementById('video').currentTime > 1, null, {timeout: 60000});
  const before = await now(page);
  const heights = new Set([before.height]);
  // Every half second the next level is asked for; it comes with the next segment.
  const until = Math.min(Number(seconds), await page.evaluate(() => document.getElementById('video').duration) - 0.5);
  for (let turn = 0, at = before; at.time < until && !at.ended; turn++) {
    await page.evaluate((level) => {
      window.player.nextLevel = level % window.player.levels.length;
    }, Math.floor(turn / 4) + 1);
    await page.waitForTimeout(500);
    at = await now(page);
    must(turn < 240, `after two minutes it stands at ${at.time} s`);
    heights.add(at.height);
  }
  const after = await now(page);
  Object.assign(seen, {heights: [...heights], seconds: after.time, total: after.total - before.total,
    dropped: after.dropped - before.dropped, errors: await page.evaluate(() => window.trouble)});
  must(seen.errors.length === 0, 'hls.js reports fatal errors');
  must(seen.levels.every((height) => heights.has(height)), 'not every rendition was shown');
}

const browser = await launch(web);
let status = 0;
try {
  const page = await browser.newPage();
  page.on('response', (r) => {
    if (r.status() >= 400) {
      seen.failedRequests.push(`${r.status()} ${r.url()}`);
    }
  });
  await play(page);
  must(seen.failedRequests.length === 0, 'requests failed');
} catch (e) {
  seen.failure = String(e);
  status = 1;
} finally {
  await browser.close();
  server.close();
}
console.log(JSON.stringify(seen));
process.exit(status);
