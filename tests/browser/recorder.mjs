// All that a page asks for and gets, from the browser's own network log: requests, redirects, headers, bodies, frames.

export class Recorder {
  static async start(browser, page) {
    const recorder = new Recorder();
    recorder.session = await browser.newCDPSession(page);
    recorder.listen();
    await recorder.session.send('Network.enable');
    return recorder;
  }

  forget() {
    this.addresses = [];
    this.paths = new Map();
    this.sockets = new Map();
    this.headers = [];
    this.bodies = [];
  }

  constructor() {
    this.forget();
  }

  listen() {
    const on = (name, handler) => this.session.on(`Network.${name}`, handler);
    on('requestWillBeSent', ({ requestId, request }) => {
      this.note(request.url);
      this.paths.set(requestId, new URL(request.url).pathname);
    });
    on('responseReceivedExtraInfo', ({ headers, headersText }) => {
      this.headers.push(headersText ?? JSON.stringify(headers));
    });
    on('loadingFinished', ({ requestId }) => this.keepBody(requestId));
    on('webSocketCreated', ({ requestId, url }) => {
      this.note(url);
      this.sockets.set(requestId, { url, isOpen: false, frames: [] });
    });
    on('webSocketHandshakeResponseReceived', ({ requestId, response }) => {
      this.headers.push(response.headersText ?? JSON.stringify(response.headers));
      const socket = this.sockets.get(requestId);
      // 200 is the answer of HTTP/2.
      if (socket) socket.isOpen = [101, 200].includes(response.status);
    });
    on('webSocketFrameReceived', ({ requestId, response }) => {
      this.sockets.get(requestId)?.frames.push(response.payloadData);
    });
    on('webSocketClosed', ({ requestId }) => {
      const socket = this.sockets.get(requestId);
      if (socket) socket.isOpen = false;
    });
  }

  note(url) {
    const address = new URL(url);
    // What stands in the page itself is no request.
    if (!['data:', 'blob:'].includes(address.protocol)) this.addresses.push(address);
  }

  async keepBody(requestId) {
    try {
      const { body, base64Encoded } = await this.session.send('Network.getResponseBody', { requestId });
      const text = base64Encoded ? Buffer.from(body, 'base64').toString('latin1') : body;
      this.bodies.push({ path: this.paths.get(requestId), text });
    } catch {
      // An answer without a body, or one that the browser let go of with its page.
    }
  }

  // Everything that came in, with a word on where. Two things speak of the server on purpose and are left out: the
  // simulator's testimony of what it saw, and the relays for sound and video, which do not pass the gateway.
  * received() {
    for (const headers of this.headers) yield ['a header', headers];
    for (const { path, text } of this.bodies) {
      if (!path?.endsWith('/api/stuns')) yield [`the body of ${path}`, text];
    }
    for (const { url, frames } of this.sockets.values()) {
      for (const frame of frames) yield [`a frame of ${url}`, frame.replace(SEEN, '')];
    }
  }

  // What the server saw of the latest socket to a path below the prefix.
  seenBy(path) {
    const sockets = [...this.sockets.values()].filter(({ url }) => new URL(url).pathname.endsWith(path));
    for (const frame of sockets.at(-1)?.frames ?? []) {
      const message = JSON.parse(frame);
      const seen = message.seen ?? message.payload?.data?.sim_echo?.seen;
      if (seen) return seen;
    }
    return null;
  }
}

const SEEN = /"seen":\{[^{}]*\}/g;
