// All that goes on in a browser's window, in every tab, frame and window that opens from it: addresses, headers, bodies and
// frames of sockets. (The recorder sees handshakes of sockets too, but one page only.)

import assert from 'node:assert/strict';

// What the simulator testifies to have seen names it on purpose, in words.
const SEEN = /"seen":\{[^{}]*\}/g;
// The relays for sound and video do not pass the gateway.
const RELAYS = /\/api\/stuns$/;

export class Watch {
  constructor(context) {
    this.addresses = [];
    this.texts = [];
    this.reading = [];
    this.sockets = [];
    context.on('request', (request) => this.note(request.url()));
    context.on('response', (response) => this.reading.push(this.read(response)));
    const ofPage = (page) => page.on('websocket', (socket) => this.listen(socket));
    context.pages().forEach(ofPage);
    context.on('page', ofPage);
  }

  note(url) {
    const address = new URL(url);
    // What stands in a page itself is no request.
    if (['http:', 'https:', 'ws:', 'wss:'].includes(address.protocol)) this.addresses.push(address);
  }

  async read(response) {
    const path = new URL(response.url()).pathname;
    try {
      for (const { name, value } of await response.headersArray()) this.texts.push([`${name} of ${path}`, value]);
      if (!RELAYS.test(path)) this.texts.push([`the body of ${path}`, (await response.body()).toString('latin1')]);
    } catch {
      // A redirect has no body, and a page that is left takes its own with it.
    }
  }

  listen(socket) {
    this.note(socket.url());
    this.sockets.push(socket);
    socket.on('framereceived', ({ payload }) => {
      this.texts.push([`a frame of ${socket.url()}`, payload.toString('latin1').replace(SEEN, '')]);
    });
  }

  // How many sockets to a path are open.
  open(path) {
    return this.sockets.filter((socket) => new URL(socket.url()).pathname.endsWith(path) && !socket.isClosed()).length;
  }

  // Nothing has left the hosts, and nothing told of a server.
  async check(label, hosts, forbidden) {
    await Promise.all(this.reading);
    assert.ok(this.addresses.length > 3 && this.texts.length > 5, `${label}: something was asked for`);
    for (const address of this.addresses) {
      assert.ok(['https:', 'wss:'].includes(address.protocol), `${label}: ${address} is not encrypted`);
      assert.ok(hosts.includes(address.host), `${label}: ${address} left the tenant's host`);
    }
    for (const [where, text] of this.texts) {
      for (const word of forbidden) {
        const at = text.indexOf(word);
        assert.ok(at < 0, `${label}: ${where} tells of ${word}: …${text.slice(Math.max(0, at - 80), at + 80)}…`);
      }
    }
  }
}
