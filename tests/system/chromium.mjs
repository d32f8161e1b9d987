// SPDX-License-Identifier: GPL-2.0-or-later
// Starts the real Chromium for the other scripts: launch(WEB_FOLDER), whose node_modules hold playwright-core.
import {createRequire} from 'node:module';
import path from 'node:path';

export function launch(web) {
  const {chromium} = createRequire(path.join(path.resolve(web), 'package.json'))('playwright-core');
  return chromium.launch({executablePath: process.env.RR_CHROMIUM ?? '/usr/bin/chromium', headless: true,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync', '--autoplay-policy=no-user-gesture-required']});
}
