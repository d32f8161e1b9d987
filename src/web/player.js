// SPDX-License-Identifier: GPL-2.0-or-later
// Plays a published resource from the serving port. The rig's owner does not pay himself: an owner session goes with
// every request, in the header that a paying viewer uses.
import Hls from './vendor/hls.mjs';
import {call} from './api.js';

const video = document.getElementById('video');
const level = document.getElementById('level');
const text = document.getElementById('player-text');
let hls = null;

function showLevels() {
  level.replaceChildren(new Option('automatic', '-1'),
    ...hls.levels.map((l, i) => new Option(`${l.height}p, ${Math.round(l.bitrate / 1000)} kb/s`, String(i))));
}

level.addEventListener('change', () => {
  if (hls) {
    hls.nextLevel = Number(level.value);
  }
});

export async function play(job, serveUrl) {
  const {session} = await call('sessions/owner', {});
  if (hls) {
    hls.destroy();
  }
  if (!Hls.isSupported()) {
    text.textContent = 'This browser cannot play segments by script; use any HLS player with the address.';
    return;
  }
  hls = new Hls({
    xhrSetup(xhr) {
      xhr.setRequestHeader('Reelrig-Payment', `session=${session}`);
    },
  });
  window.reelrigPlayer = hls;
  hls.on(Hls.Events.MANIFEST_PARSED, () => {
    showLevels();
    video.play().catch(() => { text.textContent = `${job.title}: press play`; });
  });
  hls.on(Hls.Events.ERROR, (_, data) => {
    if (data.fatal) {
      text.textContent = `Playback stopped: ${data.details}`;
    }
  });
  hls.loadSource(`${serveUrl}/v1/resources/${job.resource}/hls/master.m3u8`);
  hls.attachMedia(video);
  text.textContent = job.title;
}
