// SPDX-License-Identifier: GPL-2.0-or-later
// The rig's page: everything live out of one event stream. Names from the network only ever go to textContent.
import {call, follow, setToken, token} from './api.js';
import {play} from './player.js';

const byId = (id) => document.getElementById(id);
const link = byId('link');
const rates = [];
const samples = 240;
let lastHeight = -1;
let lastPools = '';

function element(tag, text, className) {
  const e = document.createElement(tag);
  if (text !== undefined) {
    e.textContent = text;
  }
  if (className) {
    e.className = className;
  }
  return e;
}

const mega = (bytes) => `${(bytes / 1e6).toFixed(1)} MB`;
const reputation = (q32) => (q32 / 2 ** 32).toFixed(4);

function showNumbers(s) {
  const fps = s.jobs.reduce((sum, job) => sum + (job.final ? 0 : job.fps), 0);
  const rows = [
    ['Wallet', `${s.wallet.balance} coins`],
    ['Address', s.wallet.address],
    ['Height', `${s.chain.height} (finalized ${s.chain.finalized_height}; no guardians vote yet)`],
    ['Reputation', `${reputation(s.chain.reputation_q32)}, best ${reputation(s.chain.best_reputation_q32)}`],
    ['Hash rate', `${s.hash.hashes_per_s} H/s, ${s.hash.device}`],
    ['Encoding', `${fps.toFixed(1)} fps`],
    ['Store', `${s.store.objects} objects, ${s.store.shards} shards, ${mega(s.store.bytes)}`],
    ['Repaired', `${s.store.shards_repaired} shards, ${s.store.repair_queue} waiting`],
    ['Served', `${s.serve.segments} segments, ${mega(s.serve.bytes)}`],
    ['Earned', `${s.pay.paid} coins paid, ${s.pay.settled} settled`],
    ['Certificates', `${s.pay.certificates} received, ${s.chain.certificates_mined} in blocks`],
  ];
  byId('numbers').replaceChildren(...rows.flatMap(([name, value]) => [element('dt', name), element('dd', value)]));
}

function showChart(s) {
  rates.push(s.hash.hashes_per_s);
  if (rates.length > samples) {
    rates.shift();
  }
  const top = Math.max(1, ...rates);
  const points = rates.map((rate, i) => `${(i * 600) / (samples - 1)},${115 - (rate * 110) / top}`).join(' ');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'polyline');
  line.setAttribute('points', points);
  byId('chart').replaceChildren(line);
  byId('chart-text').textContent = `now ${s.hash.hashes_per_s} H/s, highest ${top} H/s; difficulty ${s.chain.difficulty}`;
}

const known = (value, scale, unit, digits = 0) => (value === null ? 'unknown' : `${(value / scale).toFixed(digits)} ${unit}`);

function deviceRow(d) {
  const why = [d.variant, d.why, d.state === 'off' ? '' : d.sensors.trouble].filter((text) => text).join('; ');
  const tr = row(d.id, d.state, `${d.hashes_per_s} H/s`, known(d.sensors.temperature_mc, 1000, '°C', 1),
    known(d.sensors.power_mw, 1000, 'W'), d.accepted, d.rejected + d.failed_checks, why);
  tr.title = `${d.name} ${d.driver}`.trim();
  return tr;
}

function showDevices(s) {
  byId('devices').replaceChildren(...s.hash.devices.map(deviceRow));
  byId('alarm').textContent = s.hash.alarm ?? '';
}

function jobElement(job, serveUrl) {
  const box = element('div', undefined, 'job');
  const bar = element('progress');
  bar.max = 100;
  bar.value = job.percent;
  bar.setAttribute('aria-label', `progress of ${job.title}`);
  box.append(element('h3', job.title), bar);
  const state = `${job.stage}, ${job.percent.toFixed(0)} %, ${job.fps.toFixed(1)} fps; proofs ${job.proofs_checked} checked, ${job.proofs_failed} failed`;
  box.append(element('p', state, 'note'));
  for (const r of job.renditions) {
    box.append(element('p', `${r.name}: GOP ${r.gops_done} of ${r.gops}`, 'note'));
  }
  if (job.error) {
    box.append(element('p', job.error, 'failed'));
  }
  if (job.resource) {
    const button = element('button', 'Play');
    button.addEventListener('click', () => play(job, serveUrl).catch((e) => { link.textContent = e.message; }));
    box.append(button);
  }
  return box;
}

let shownJobs = '';
function showJobs(s) {
  const now = JSON.stringify(s.jobs);
  if (s.jobs.length > 0 && now !== shownJobs) {
    shownJobs = now;
    byId('jobs').replaceChildren(...s.jobs.map((job) => jobElement(job, s.serve.url)));
  }
}

function row(...cells) {
  const tr = element('tr');
  tr.append(...cells.map((cell) => element('td', cell)));
  return tr;
}

async function showLedger(s) {
  if (s.chain.height !== lastHeight) {
    lastHeight = s.chain.height;
    const chain = await call('chain?count=8');
    byId('blocks').replaceChildren(...chain.blocks.map((b) => row(b.height, b.hash.slice(0, 10), b.difficulty,
      `${b.service_ms} ms`, reputation(b.reputation_q32))));
  }
  const now = JSON.stringify(s.pay);
  if (now !== lastPools) {
    lastPools = now;
    const pools = await call('pools');
    byId('pools').replaceChildren(...pools.sales.map((p) => row(p.pool.slice(0, 10), p.units, p.paid, p.settled, p.end_height)));
  }
}

function show(s) {
  link.textContent = `up ${s.uptime_s} s, version ${s.version}`;
  showNumbers(s);
  showChart(s);
  showDevices(s);
  showJobs(s);
  showLedger(s).catch((e) => { link.textContent = e.message; });
}

byId('login').addEventListener('submit', (event) => {
  event.preventDefault();
  setToken(byId('token').value);
  byId('login').hidden = true;
});

const pause = (ms) => new Promise((resolve) => { setTimeout(resolve, ms); });

token();
for (;;) {
  try {
    show(await call('status'));
    await follow(show);
    link.textContent = 'the rig has stopped; trying again';
  } catch (e) {
    link.textContent = e.status === 401 ? 'the token is missing or wrong' : `no answer from the rig: ${e.message}`;
    byId('login').hidden = e.status !== 401;
  }
  await pause(1000);
}
