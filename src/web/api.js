// SPDX-License-Identifier: GPL-2.0-or-later
// The rig's control API: a token out of the address's fragment, calls, and the event stream.

const key = 'reelrig-token';

export function token() {
  const match = /token=([0-9a-f]+)/.exec(location.hash);
  if (match) {
    sessionStorage.setItem(key, match[1]);
    history.replaceState(null, '', location.pathname);
  }
  return sessionStorage.getItem(key) ?? '';
}

export function setToken(value) {
  sessionStorage.setItem(key, value.trim());
}

export async function call(path, body) {
  const options = {headers: {Authorization: `Bearer ${token()}`}};
  if (body !== undefined) {
    options.method = 'POST';
    options.body = JSON.stringify(body);
  }
  const response = await fetch(`/api/v1/${path}`, options);
  const answer = await response.json();
  if (!response.ok) {
    throw Object.assign(new Error(answer.message ?? response.statusText), {status: response.status});
  }
  return answer;
}

// Calls onEvent for each event until the stream ends; throws with .status when it is refused. EventSource cannot send
// the token, so the stream is read by hand.
export async function follow(onEvent) {
  const response = await fetch('/api/v1/events', {headers: {Authorization: `Bearer ${token()}`}});
  if (!response.ok) {
    throw Object.assign(new Error('refused'), {status: response.status});
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = '';
  for (;;) {
    const {value, done} = await reader.read();
    if (done) {
      return;
    }
    text += value;
    let end;
    while ((end = text.indexOf('\n\n')) >= 0) {
      const block = text.slice(0, end);
      text = text.slice(end + 2);
      if (block.startsWith('data: ')) {
        onEvent(JSON.parse(block.slice(6)));
      }
    }
  }
}
