// What the browser tests share: the example as a process that can be restarted, a browser with a profile of its own,
// and cookies as that browser stored them.

import { execFileSync, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const PASSWORD = 'correct horse';
export const NAME = '__Host-session';

/// Cleans up when the test `t` ends, last things first; `t.after` alone does the first things first.
export function afterwards(t, clean) {
  if (!cleaners.has(t)) {
    cleaners.set(t, []);
    t.after(async () => {
      for (const clean of cleaners.get(t).reverse()) await clean();
    });
  }
  cleaners.get(t).push(clean);
}
const cleaners = new WeakMap();

// --- The example.

/// Where the example `login`, and the server of the tests, are when they are built: each once, and when it is asked for.
const binaries = { login: process.env.HTTP_SESSION_LOGIN_BIN };

function build(example) {
  // The features of the Rust tests, so that nothing is built twice.
  const cargo = ['build', '--quiet', '--locked', '--all-features', '--example', example, '--message-format=json'];
  const output = execFileSync('cargo', cargo, {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    encoding: 'utf8',
    maxBuffer: 1 << 28,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const messages = output.trim().split('\n').map((line) => JSON.parse(line));
  return messages.find((message) => message.executable && message.target.name === example).executable;
}

export const newKey = () => randomBytes(32).toString('hex');

// A test that is stopped for taking too long has to end what it started.
const running = new Set();
process.on('exit', () => running.forEach((child) => child.kill('SIGKILL')));
process.once('SIGTERM', () => process.exit(143));

/// The settings for sessions in this store.
export function storedIn(t, store) {
  const folder = newFolder(t);
  return { arguments: ['--store', store], DATABASE: join(folder, 'login.db') };
}

/// A running example. It stops with the test `t`, and `restart` changes its settings without changing its port. Settings are
/// environment variables, but for `arguments`; `example` is the name of another one than `login`.
export class Server {
  static async start(t, settings = {}) {
    const server = new Server();
    afterwards(t, () => server.stop());
    await server.#run({ SESSION_KEY: newKey(), ...settings, PORT: '0' });
    return server;
  }

  get localhost() {
    return this.at('localhost');
  }

  at(host) {
    return `http://${host}:${this.port}`;
  }

  /// `undefined` takes a setting away.
  async restart(changed) {
    await this.stop();
    await this.#run({ ...this.settings, ...changed, PORT: String(this.port) });
  }

  async stop() {
    if (this.process && this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGKILL');
      await once(this.process, 'exit');
    }
  }

  async #run({ arguments: args = [], example = 'login', ...settings }) {
    this.settings = { arguments: args, example, ...settings };
    this.log = [];
    const binary = (binaries[example] ??= build(example));
    // Nothing of this process's own environment may be taken for a setting.
    const child = spawn(binary, args, { env: { NO_COLOR: '1', ...settings }, stdio: ['ignore', 'pipe', 'pipe'] });
    this.process = child;
    running.add(child);
    child.once('exit', () => running.delete(child));
    child.stderr.pipe(process.stderr);
    const lines = createInterface({ input: child.stdout });
    this.port = await new Promise((resolve, reject) => {
      lines.on('line', (line) => {
        this.log.push(line);
        const listening = /^listening on http:\/\/localhost:(\d+)$/.exec(line);
        if (listening) resolve(Number(listening[1]));
      });
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the example ended with ${code}`)));
    });
  }
}

/// A site of one page, under any host name that reaches this machine.
export async function serve(t, page) {
  const server = http.createServer((request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end(request.url === '/' ? page : '');
  });
  afterwards(t, () => {
    server.close();
    server.closeAllConnections();
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server.address().port;
}

// --- The browser.

const ARGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  // A host that is not loopback, and so gets no favours over plain HTTP.
  '--host-resolver-rules=MAP *.test 127.0.0.1',
];

/// A browser with a new profile (or that in `profile`), which closes with the test `t`.
export async function browse(t, { args = [], profile, ...options } = {}) {
  const folder = profile ?? newProfile(t);
  const browser = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    headless: true,
    args: [...ARGS, ...args],
    // Playwright switches it off, and the back button is about it.
    ignoreDefaultArgs: ['--disable-back-forward-cache'],
    ...options,
  });
  browser.setDefaultTimeout(15_000);
  afterwards(t, () => browser.close());
  const page = browser.pages()[0] ?? (await browser.newPage());
  return { browser, page };
}

export const newProfile = newFolder;

function newFolder(t) {
  const folder = mkdtempSync(join(tmpdir(), 'http-session-browser-'));
  afterwards(t, () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  return folder;
}

/// All cookies of the browser as it stored them, sorted by name. `page` is any page that does not wait for an answer: such a
/// one would have this wait as well.
export async function jar(browser, page = browser.pages()[0]) {
  const devtools = await browser.newCDPSession(page);
  const { cookies } = await devtools.send('Storage.getCookies');
  await devtools.detach();
  return cookies.sort((a, b) => (a.name < b.name ? -1 : 1));
}

// --- What users do. `frame` is a page or a frame.

/// Presses a button that sends a form, and waits until the page that it stood on is gone.
export async function press(frame, name) {
  await frame.locator('html').evaluate((root) => root.setAttribute('data-left', ''));
  await frame.getByRole('button', { name, exact: true }).click();
  await frame.locator('html:not([data-left])').waitFor({ state: 'attached' });
}

export async function logIn(frame, user = 'ada', password = PASSWORD) {
  await frame.getByLabel('User').fill(user);
  await frame.getByLabel('Password').fill(password);
  await press(frame, 'Log in');
}

export const logOut = (frame) => press(frame, 'Log out');

export async function addNote(frame, text) {
  await frame.getByLabel('New note').fill(text);
  await press(frame, 'Add note');
}

/// Waits for the page of a user who is logged in.
export const greeting = (frame, name = 'Ada Lovelace') =>
  frame.getByRole('heading', { name: `Hello, ${name}` }).waitFor();

/// Waits for the login form.
export const loginForm = (frame) => frame.getByRole('heading', { name: 'Log in' }).waitFor();

export async function notes(frame) {
  await wholePage(frame);
  return frame.locator('ul[aria-labelledby=notes] li:not(.none)').allTextContents();
}

export async function visits(frame) {
  await wholePage(frame);
  return Number(await frame.locator('#visits').textContent());
}

/// Waits for what comes last.
const wholePage = (frame) => frame.locator('aside').waitFor();
