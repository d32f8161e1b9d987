// SPDX-License-Identifier: GPL-2.0-or-later
// A live ladder in hls.js' low-latency mode on a real Chromium: plays for some seconds at the live edge.
// usage: node live.mjs WEB_FOLDER MASTER_URL SECONDS
// Prints one JSON object of what it saw; exit status 1 when it does not play.
import http from 'node:http';
import path from 'node:path';

import {launch} from './chromium.mjs';

const [web, master, seconds] = process.argv.slice(2);
const hls = path.join(path.resolve(web), 'node_modules/hls.js/dist/hls.min.js');
const seen = {};

function must(condition, text) {
  if (!condition) {
    throw new Error(text);
  }
}

// A page of another origin than the server's.
const pages = http.createServer((_, answer) => {
  answer.setHeader('Content-Type', 'text/html');
  answer.end('<!doctype html><title>player</title><link rel="icon" href="data:,"><body><video id="video" muted></video></body>');
});
await new Promise((ready) => pages.listen(0, '127.0.0.1', ready));

const browser = await launch(web);
let status = 0;
try {
  const page = await browser.newPage({viewport: {width: 800, height: 600}});
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  await page.addScriptTag({path: hls});
  await page.evaluate((url) => {
    const video = document.getElementById('video');
    const player = new window.Hls({lowLatencyMode: true, maxLiveSyncPlaybackRate: 1.5});
    window.player = player;
    window.watched = {fatal: [], errors: [], latencies: [], stalls: 0, parts: 0};
    player.on('hlsError', (_, data) => {
      (data.fatal ? window.watched.fatal : window.watched.errors).push(data.details);
    });
    player.on('hlsFragLoaded', (_, data) => { window.watched.parts += data.part ? 1 : 0; });
    video.addEventListener('waiting', () => { window.watched.stalls += video.currentTime > 0.5 ? 1 : 0; });
    setInterval(() => {
      if (!video.paused && video.currentTime > 1 && player.latency > 0) {
        window.watched.latencies.push(player.latency);
      }
    }, 250);
    player.loadSource(url);
    player.attachMedia(video);
    video.play();
  }, master);
  await page.waitForFunction(() => document.getElementById('video').currentTime > 1, null, {timeout: 40000});
  const first = await page.evaluate(() => document.getElementById('video').currentTime);
  await page.waitForTimeout(seconds * 1000);
  Object.assign(seen, await page.evaluate(() => {
    const video = document.getElementById('video');
    const quality = video.getVideoPlaybackQuality();
    return {...window.watched, time: video.currentTime, total: quality.totalVideoFrames, dropped: quality.droppedVideoFrames,
      target: window.player.targetLatency, height: video.videoHeight,
      lowLatency: Boolean(window.player.levels[0].details?.partList?.length || window.player.levels.some((l) => l.details?.partTarget))};
  }));
  seen.played = seen.time - first;
  seen.wanted = Number(seconds);
  must(seen.fatal.length === 0, `hls.js gives up: ${seen.fatal}`);
  must(seen.played > seconds / 2, `${seen.played} s were played in ${seconds} s`);
  must(seen.parts > 0, 'no part was loaded: not low latency');
} catch (e) {
  seen.failure = String(e);
  status = 1;
} finally {
  await browser.close();
  pages.close();
}
console.log(JSON.stringify(seen));
process.exit(status);
