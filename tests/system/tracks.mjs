// SPDX-License-Identifier: GPL-2.0-or-later
// Tracks of sound and text in hls.js and Shaka Player on a real Chromium: both offer them, sound is switched while it
// plays, and a subtitle is shown at its time.
// usage: node tracks.mjs WEB_FOLDER HLS_URL DASH_URL AUDIO_COUNT SUBTITLE_COUNT CUE_START CUE_TEXT
// Prints one JSON object of what it saw; exit status 1 when something is missing.
import http from 'node:http';
import path from 'node:path';

import {launch} from './chromium.mjs';

const [web, hlsUrl, dashUrl, audioCount, subtitleCount, cueStart, cueText] = process.argv.slice(2);
const modules = path.join(path.resolve(web), 'node_modules');
const seen = {failedRequests: []};

function must(condition, text) {
  if (!condition) {
    throw new Error(text);
  }
}

async function open(page, script) {
  await page.goto(`http://127.0.0.1:${pages.address().port}/`);
  await page.addScriptTag({path: path.join(modules, script)});
  await page.evaluate(() => {
    const video = document.createElement('video');
    video.id = 'video';
    video.muted = true;
    document.body.append(video);
    window.trouble = [];
  });
}

const timeOver = (page, seconds) => page.waitForFunction((s) => document.getElementById('video').currentTime > s, seconds,
  {timeout: 30000});
const timeNow = (page) => page.evaluate(() => document.getElementById('video').currentTime);

// Waits until a text track of the video holds the cue, and says when it starts.
async function findCue(page) {
  const found = await page.waitForFunction((words) => {
    for (const track of document.getElementById('video').textTracks) {
      for (const cue of track.cues ?? []) {
        if (cue.text.includes(words)) {
          return {start: cue.startTime};
        }
      }
    }
    return null;
  }, cueText, {timeout: 30000});
  const {start} = await found.jsonValue();
  must(Math.abs(start - Number(cueStart)) < 0.15, `the cue begins at ${start}, not at ${cueStart}`);
  return start;
}

async function hls(page) {
  await open(page, 'hls.js/dist/hls.min.js');
  seen.hls = await page.evaluate(async (url) => {
    const player = new window.Hls();
    window.player = player;
    player.on(window.Hls.Events.ERROR, (_, data) => data.fatal && window.trouble.push(data.details));
    player.loadSource(url);
    player.attachMedia(document.getElementById('video'));
    await new Promise((ready) => player.once(window.Hls.Events.MANIFEST_PARSED, ready));
    await document.getElementById('video').play();
    return {};
  }, hlsUrl);
  await timeOver(page, 1);
  seen.hls = await page.evaluate(() => ({audio: window.player.audioTracks.map((t) => `${t.name} ${t.lang}`),
    subtitles: window.player.subtitleTracks.map((t) => `${t.name} ${t.lang}`)}));
  must(seen.hls.audio.length === Number(audioCount), `${seen.hls.audio.length} audio tracks in hls.js`);
  must(seen.hls.subtitles.length === Number(subtitleCount), `${seen.hls.subtitles.length} subtitles in hls.js`);
  await page.evaluate(() => {
    window.player.subtitleTrack = 0;
    window.player.subtitleDisplay = true;
    window.switched = -1;
    window.player.on('hlsAudioTrackSwitched', (_, data) => {
      window.switched = data.id;
    });
    window.player.audioTrack = 1;
  });
  await page.waitForFunction(() => window.switched === 1, null, {timeout: 30000});
  seen.hls.cue = await findCue(page);
  await timeOver(page, await timeNow(page) + 2);
  seen.hls.errors = await page.evaluate(() => window.trouble);
  must(seen.hls.errors.length === 0, `hls.js reports ${seen.hls.errors}`);
}

async function dash(page) {
  await open(page, 'shaka-player/dist/shaka-player.compiled.js');
  seen.dash = await page.evaluate(async (url) => {
    const video = document.getElementById('video');
    const player = new window.shaka.Player();
    window.player = player;
    player.addEventListener('error', (e) => window.trouble.push(String(e.detail.code)));
    await player.attach(video);
    player.configure({abr: {enabled: false}});
    await player.load(url).catch((e) => Promise.reject(new Error(`Shaka: ${e.code} ${JSON.stringify(e.data)}`)));
    await video.play();
    const audio = [...new Set(player.getVariantTracks().map((t) => t.audioId))];
    return {audio, subtitles: player.getTextTracks().map((t) => `${t.language} ${t.mimeType}`)};
  }, dashUrl);
  must(seen.dash.audio.length === Number(audioCount), `${seen.dash.audio.length} audio tracks in Shaka`);
  must(seen.dash.subtitles.length === Number(subtitleCount), `${seen.dash.subtitles.length} subtitles in Shaka`);
  await timeOver(page, 1);
  seen.dash.audioNow = await page.evaluate(() => {
    const now = window.player.getVariantTracks().find((t) => t.active);
    const other = window.player.getVariantTracks().find((t) => t.audioId !== now.audioId && t.videoId === now.videoId);
    window.player.selectVariantTrack(other, true);
    window.player.selectTextTrack(window.player.getTextTracks()[0]);
    window.player.setTextTrackVisibility?.(true); // before Shaka 5 a chosen one was not shown yet
    return other.audioId;
  });
  await page.waitForFunction((id) => window.player.getVariantTracks().find((t) => t.active)?.audioId === id,
    seen.dash.audioNow, {timeout: 30000});
  seen.dash.cue = await findCue(page);
  await timeOver(page, await timeNow(page) + 2);
  seen.dash.errors = await page.evaluate(() => window.trouble);
  must(seen.dash.errors.length === 0, `Shaka reports ${seen.dash.errors}`);
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
  for (const play of [hls, dash]) {
    const page = await browser.newPage({viewport: {width: 1280, height: 900}});
    page.on('response', (r) => {
      if (r.status() >= 400) {
        seen.failedRequests.push(`${r.status()} ${r.url()}`);
      }
    });
    await play(page);
    await page.close();
  }
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
