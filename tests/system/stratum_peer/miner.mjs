// SPDX-License-Identifier: GPL-2.0-or-later
// Mines by the public Stratum client of npm (stratum-client) with the public Ethash of ethereumjs; only the gluing is ours.
// usage: node miner.mjs MODULES PORT CACHE_ITEMS DATASET_ITEMS SEED_HEX SHARES
import { createRequire } from "node:module";
import path from "node:path";

const [modules, port, cacheItems, datasetItems, seed, wanted] = process.argv.slice(2);
const require = createRequire(path.join(path.resolve(modules), "x.js"));
const stratum = require("stratum-client");
const { Ethash } = require("@ethereumjs/ethash");

const bytes = (hex) => Uint8Array.from(Buffer.from(hex.replace(/^0x/, ""), "hex"));
const hex = (data) => Buffer.from(data).toString("hex");
const ethash = new Ethash();
ethash.mkcache(Number(cacheItems) * 64, bytes(seed));

const seen = { connected: false, authorized: false, jobs: 0, accepted: 0, refused: 0, why: [] };
let job = null;
let nonce = BigInt(Math.floor(Math.random() * 2 ** 48)) << 8n;
let ended = false;

function end(status) {
    if (!ended) {
        ended = true;
        console.log(JSON.stringify(seen));
        handle.shutdown();
        process.exitCode = status;
        setTimeout(() => process.exit(status), 50);
    }
}

const handle = stratum({
    server: "127.0.0.1",
    port: Number(port),
    worker: "npm.worker",
    password: "x",
    autoReconnectOnError: false,
    onConnect: () => { seen.connected = true; },
    onAuthorizeSuccess: () => { seen.authorized = true; },
    onAuthorizeFail: () => end(1),
    // The client names the fields by Bitcoin's habit; in order they are job, header, seed, boundary.
    onNewMiningWork: (work) => {
        seen.jobs++;
        job = { name: work.jobId, header: work.prevhash, boundary: BigInt(work.coinb2) };
    },
    onSubmitWorkSuccess: () => {
        if (++seen.accepted >= Number(wanted)) end(0);
    },
    onSubmitWorkFail: (error) => { seen.refused++; seen.why.push(String(error)); },
    onError: (error) => { seen.why.push(error.message); end(1); },
});

function search() {
    if (ended) return;
    const start = Date.now();
    while (job && Date.now() - start < 50) {
        const digits = (++nonce).toString(16).padStart(16, "0");
        const result = ethash.run(bytes(job.header), bytes(digits), Number(datasetItems) * 128);
        if (BigInt("0x" + hex(result.hash)) <= job.boundary) {
            handle.submit({ worker_name: "npm.worker", job_id: job.name, extranonce2: "0x" + digits, ntime: job.header,
                            nonce: "0x" + hex(result.mix) });
            break;
        }
    }
    setTimeout(search, 1);
}
search();
setTimeout(() => end(2), 240000);
