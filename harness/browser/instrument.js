// The instrument: it runs before any script of a page and stamps what the page
// receives, when it does (t5), and the frame after that (t6). It changes nothing
// of what the page sees. Stamps are performance.now(), in milliseconds.
//
// It reports in batches, as JSON, through the binding plumblineTell:
//   {doc, number, at, spent, hidden, isolated, log: [entry…]}
// with entries
//   ["c", at, connection, kind, address]  a connection was asked for
//   ["o", at, connection]                 it was opened
//   ["m", at, connection, text]           a message, as text
//   ["b", at, connection, base64]         a message, as bytes
//   ["x", at, connection, code]           it ended
//   ["f", at, n]                          a frame shows at least the first n messages of this document
//   ["l", at, word]                       the page was hidden, shown, frozen, …
((settings) => {
  'use strict';
  const tell = globalThis.plumblineTell;
  if (globalThis !== globalThis.top || typeof tell !== 'function') return;
  delete globalThis.plumblineTell;
  const now = performance.now.bind(performance);
  const listen = EventTarget.prototype.addEventListener;
  const later = globalThis.setTimeout.bind(globalThis);
  const doc = Math.random().toString(36).slice(2) + Math.random().toString(36).slice(2);
  const flushAfter = 100; // ms
  const flushAt = 1 << 20; // characters
  let log = [];
  let size = 0;
  let waiting = 0; // messages whose bytes are still read
  let timer = 0;
  let spent = 0; // ms of the main thread that the instrument took
  let messages = 0;
  let connections = 0;
  let reports = 0;

  // flush reports what there is. It tells which report of this document was the last
  // and how many entries have to wait.
  function flush() {
    const began = now();
    if (timer) clearTimeout(timer);
    timer = 0;
    if (waiting) { // in order, so a little later
      timer = later(flush, 5);
      return doc + ' ' + reports + ' ' + log.length;
    }
    reports++;
    tell(JSON.stringify({doc, number: reports, at: began, spent, hidden: document.visibilityState !== 'visible', isolated: crossOriginIsolated, log}));
    log = [];
    size = 0;
    spent += now() - began;
    return doc + ' ' + reports + ' 0';
  }

  function note(...entry) {
    log.push(entry);
    if (!timer) timer = later(flush, flushAfter);
    return entry;
  }

  function base64(bytes) {
    if (bytes.toBase64) return bytes.toBase64();
    let text = '';
    for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
    return btoa(text);
  }

  // took notes a message; what is neither text nor bytes is none.
  function took(connection, data) {
    const at = now();
    if (typeof data === 'string') {
      note('m', at, connection, data);
      size += data.length;
    } else if (data instanceof ArrayBuffer || ArrayBuffer.isView(data)) {
      const bytes = data instanceof ArrayBuffer ? new Uint8Array(data) : new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
      note('b', at, connection, base64(bytes));
      size += bytes.length;
    } else if (data instanceof Blob) {
      const kept = note('b', at, connection, '');
      waiting++;
      readBlob.call(data).then((bytes) => { kept[3] = base64(new Uint8Array(bytes)); }, () => {}).finally(() => { waiting--; });
      size += data.size;
    } else {
      return;
    }
    messages++;
    spent += now() - at;
    if (size > flushAt) flush();
  }
  const readBlob = Blob.prototype.arrayBuffer;

  function began(kind, address) {
    connections++;
    let short = '';
    try {
      const url = new URL(address, document.baseURI);
      short = url.protocol + '//' + url.host + url.pathname; // what follows may be a secret
    } catch { /* the page will be told */ }
    note('c', now(), connections, kind, short);
    return connections;
  }

  globalThis.WebSocket = class WebSocket extends globalThis.WebSocket {
    constructor(...args) {
      super(...args);
      const id = began('websocket', this.url);
      listen.call(this, 'open', () => note('o', now(), id));
      listen.call(this, 'message', (e) => took(id, e.data));
      listen.call(this, 'close', (e) => note('x', now(), id, e.code));
    }
  };

  const sources = new WeakMap(); // EventSource → {id, types}
  globalThis.EventSource = class EventSource extends globalThis.EventSource {
    constructor(...args) {
      super(...args);
      const id = began('eventsource', this.url);
      sources.set(this, {id, types: new Set(['open', 'error', 'message'])});
      listen.call(this, 'open', () => note('o', now(), id));
      listen.call(this, 'message', (e) => took(id, e.data));
      listen.call(this, 'error', () => note('x', now(), id, this.readyState));
    }
    addEventListener(type, ...rest) {
      const own = sources.get(this);
      if (own && !own.types.has(type)) {
        own.types.add(type);
        listen.call(this, type, (e) => took(own.id, e.data));
      }
      return super.addEventListener(type, ...rest);
    }
  };

  // Bodies of answers: whole ones when they have been read, streams chunk by chunk.
  const bodies = new WeakMap(); // Response, stream or reader → connection
  const nativeFetch = globalThis.fetch;
  globalThis.fetch = function fetch(...args) {
    const id = began('fetch', args[0] instanceof Request ? args[0].url : String(args[0]));
    return nativeFetch.apply(this, args).then((answer) => {
      bodies.set(answer, id);
      note('o', now(), id);
      return answer;
    }, (error) => {
      note('x', now(), id, 0);
      throw error;
    });
  };
  const ofResponse = Response.prototype;
  const readText = ofResponse.text;
  ofResponse.text = function text() {
    const id = bodies.get(this);
    const read = readText.call(this);
    return id === undefined ? read : read.then((text) => { took(id, text); note('x', now(), id, 1); return text; });
  };
  const readJSON = ofResponse.json;
  ofResponse.json = function json() {
    return bodies.has(this) ? this.text().then(JSON.parse) : readJSON.call(this);
  };
  for (const name of ['arrayBuffer', 'bytes']) {
    const read = ofResponse[name];
    if (!read) continue;
    ofResponse[name] = function () {
      const id = bodies.get(this);
      return id === undefined ? read.call(this) : read.call(this).then((bytes) => { took(id, bytes); note('x', now(), id, 1); return bytes; });
    };
  }
  const clone = ofResponse.clone;
  ofResponse.clone = function () {
    const copy = clone.call(this);
    if (bodies.has(this)) bodies.set(copy, bodies.get(this));
    return copy;
  };
  const body = Object.getOwnPropertyDescriptor(ofResponse, 'body');
  Object.defineProperty(ofResponse, 'body', {...body, get() {
    const stream = body.get.call(this);
    if (stream && bodies.has(this)) bodies.set(stream, bodies.get(this));
    return stream;
  }});
  const ofStream = ReadableStream.prototype;
  const getReader = ofStream.getReader;
  ofStream.getReader = function (...args) {
    const reader = getReader.apply(this, args);
    if (bodies.has(this)) bodies.set(reader, bodies.get(this));
    return reader;
  };
  const pipeThrough = ofStream.pipeThrough;
  ofStream.pipeThrough = function (...args) {
    const out = pipeThrough.apply(this, args);
    if (bodies.has(this)) bodies.set(out, bodies.get(this));
    return out;
  };
  const ofReader = ReadableStreamDefaultReader.prototype;
  const read = ofReader.read;
  ofReader.read = function () {
    const id = bodies.get(this);
    return id === undefined ? read.call(this) : read.call(this).then((part) => {
      if (part.done) note('x', now(), id, 1);
      else took(id, part.value);
      return part;
    }, (error) => {
      note('x', now(), id, 0);
      throw error;
    });
  };

  globalThis.XMLHttpRequest = class XMLHttpRequest extends globalThis.XMLHttpRequest {
    open(method, address, ...rest) {
      const id = began('xhr', String(address));
      listen.call(this, 'load', () => {
        took(id, this.responseType === '' || this.responseType === 'text' ? this.responseText : this.responseType === 'json' ? JSON.stringify(this.response) : this.response);
      }, {once: true});
      listen.call(this, 'loadend', () => note('x', now(), id, this.status), {once: true});
      return rest.length ? super.open(method, address, ...rest) : super.open(method, address);
    }
  };

  const life = (target, type, word) => listen.call(target, type, () => {
    note('l', now(), word());
    flush(); // perhaps nothing else runs here any more
  }, true);
  life(document, 'visibilitychange', () => document.visibilityState);
  life(document, 'freeze', () => 'frozen');
  life(document, 'resume', () => 'resumed');
  life(globalThis, 'online', () => 'online');
  life(globalThis, 'offline', () => 'offline');
  life(globalThis, 'beforeunload', () => 'leaving');
  life(globalThis, 'pagehide', () => 'left');
  note('l', now(), 'loading');

  if (settings.frames) {
    // A warm loop of frames: the task after a frame's callbacks runs when it has
    // been laid out and handed to the compositor.
    const channel = new MessageChannel();
    const frame = globalThis.requestAnimationFrame.bind(globalThis);
    let covered = 0; // by the frame that is made
    let shown = 0; // by those that were made
    channel.port1.onmessage = () => {
      const at = now();
      if (covered > shown) note('f', at, covered);
      shown = covered;
      spent += now() - at;
    };
    const tick = () => {
      const at = now();
      if (messages > covered) {
        covered = messages;
        channel.port2.postMessage(0);
      }
      frame(tick);
      spent += now() - at;
    };
    frame(tick);
  }

  Object.defineProperty(globalThis, Symbol.for('plumbline'), {value: Object.freeze({clock: () => doc + ' ' + now(), flush})});
})
