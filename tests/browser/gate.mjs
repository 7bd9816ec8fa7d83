// Stands between the browser and a server, for tests in which the order of things counts.

import { once } from 'node:events';
import http from 'node:http';
import { text } from 'node:stream/consumers';
import { afterwards } from './support.mjs';

/// A promise, and what resolves it.
function later() {
  let resolve;
  const promise = new Promise((done) => (resolve = done));
  return { promise, resolve };
}

/// Stands before the example, and holds back the body of a request that is to be slow. The handlers of the example read the
/// session first and the form after it: the example asks for the body ("100 Continue") when it has read the session.
export class Gate {
  static async open(t, server) {
    const gate = new Gate();
    gate.#server = server;
    const proxy = http.createServer((request, response) => gate.#pass(request, response));
    afterwards(t, () => {
      proxy.close();
      proxy.closeAllConnections();
    });
    proxy.listen(0, '127.0.0.1');
    await once(proxy, 'listening');
    gate.localhost = `http://localhost:${proxy.address().port}`;
    return gate;
  }

  /// The next POST is slow. `read` is when its handler has read the session, and `release` lets it go on and returns the
  /// cookies that its response sets.
  slow() {
    const held = { read: later(), go: later(), answer: later() };
    this.#held = held;
    return {
      read: held.read.promise,
      release: () => {
        held.go.resolve();
        return held.answer.promise;
      },
    };
  }

  /// The answer to the next POST is kept back for good. `answered` is when the server has given it,
  /// with the cookies that it sets, and `gone` when the browser no longer waits for it.
  lose() {
    const lost = { answered: later(), gone: later() };
    this.#lost = lost;
    return { answered: lost.answered.promise, gone: lost.gone.promise };
  }

  #server;
  #held;
  #lost;

  async #pass(request, response) {
    const isPost = request.method === 'POST';
    const held = isPost ? this.#held : undefined;
    const lost = isPost ? this.#lost : undefined;
    if (held) this.#held = undefined;
    if (lost) this.#lost = undefined;
    const headers = { ...request.headers, ...(held && { expect: '100-continue' }) };
    // Whole, since the browser may give up on a request that is held back.
    const body = await text(request);
    const onward = http.request({ port: this.#server.port, method: request.method, path: request.url, headers });
    onward.on('response', (answer) => {
      const cookies = answer.headers['set-cookie'] ?? [];
      held?.answer.resolve(cookies);
      if (lost) {
        response.once('close', lost.gone.resolve);
        lost.answered.resolve(cookies);
        answer.resume();
        return;
      }
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    if (held) {
      onward.flushHeaders();
      await once(onward, 'continue');
      held.read.resolve();
      await held.go.promise;
    }
    onward.end(body);
  }
}

/// Sends a form, and does not wait for what comes of it.
export const send = (page, name) => page.getByRole('button', { name, exact: true }).click({ noWaitAfter: true });
