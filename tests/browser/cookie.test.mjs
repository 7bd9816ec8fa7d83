// The cookie as Chromium stored it: name, attributes, lifetime; on loopback, on other hosts, over HTTP and HTTPS; and
// what scripts and sibling domains can do to it.

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { test } from 'node:test';
import {
  NAME,
  Server,
  afterwards,
  browse,
  greeting,
  jar,
  logIn,
  logOut,
  loginForm,
  newProfile,
  serve,
} from './support.mjs';

const FOURTEEN_DAYS = 14 * 86_400;

/// Without what differs each time.
function attributes({ value, size, expires, ...rest }) {
  return rest;
}

const live = (domain, port) => ({
  name: NAME,
  // Without a dot before it: of this host only.
  domain,
  path: '/',
  httpOnly: true,
  secure: true,
  session: false,
  sameSite: 'Lax',
  priority: 'Medium',
  sourceScheme: 'Secure',
  sourcePort: port,
});

function assertFourteenDays(cookie, from) {
  const now = Date.now() / 1000;
  assert.ok(cookie.expires >= from + FOURTEEN_DAYS - 1, `${cookie.expires - from} s after the login`);
  assert.ok(cookie.expires <= now + FOURTEEN_DAYS + 1, `${cookie.expires - now} s from now`);
}

for (const host of ['localhost', '127.0.0.1']) {
  test(`on http://${host} Chromium keeps the Secure cookie with its prefix, and every attribute`, async (t) => {
    const server = await Server.start(t);
    const { browser, page } = await browse(t);
    await page.goto(server.at(host));
    const from = Date.now() / 1000;
    await logIn(page);
    await greeting(page);
    const cookies = await jar(browser);
    assert.deepEqual(cookies.map(attributes), [live(host, server.port)]);
    assertFourteenDays(cookies[0], from);

    await logOut(page);
    await loginForm(page);
    assert.deepEqual(await jar(browser), [], 'the removal has the same attributes');
  });
}

test('no other host gets the cookie, not even a subdomain', async (t) => {
  const server = await Server.start(t);
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  for (const host of ['127.0.0.1', 'sub.localhost']) {
    const answer = await page.goto(server.at(host));
    assert.equal((await answer.request().allHeaders()).cookie, undefined);
    await loginForm(page);
  }
  assert.equal((await jar(browser)).length, 1);
});

test('over HTTPS on any host the cookie is stored just so', async (t) => {
  const server = await Server.start(t);
  const port = await httpsFront(t, server);
  const { browser, page } = await browse(t, { ignoreHTTPSErrors: true });
  await page.goto(`https://app.test:${port}/`);
  const from = Date.now() / 1000;
  await logIn(page);
  await greeting(page);
  const cookies = await jar(browser);
  assert.deepEqual(cookies.map(attributes), [live('app.test', port)]);
  assertFourteenDays(cookies[0], from);

  await page.goto(`http://app.test:${server.port}/`);
  await loginForm(page);
  await page.goto(`https://app.test:${port}/`);
  await greeting(page);
  await logOut(page);
  await loginForm(page);
  assert.deepEqual(await jar(browser), []);
});

test('over plain HTTP on any other host the browser refuses the cookie until `secure` is off', async (t) => {
  const server = await Server.start(t);
  const { browser, page } = await browse(t);
  await page.goto(server.at('app.test'));
  await logIn(page);
  await loginForm(page);
  assert.deepEqual(await jar(browser), []);

  await server.restart({ SECURE: '0' });
  await logIn(page);
  await greeting(page);
  const insecure = { ...live('app.test', server.port), name: 'session', secure: false, sourceScheme: 'NonSecure' };
  assert.deepEqual((await jar(browser)).map(attributes), [insecure]);
  await logOut(page);
  await loginForm(page);
  assert.deepEqual(await jar(browser), []);
});

test('scripts can neither read nor replace the cookie, and one they plant is an empty session', async (t) => {
  const server = await Server.start(t);
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  const stored = await jar(browser);
  const plant = (name) =>
    page.evaluate((name) => {
      document.cookie = `${name}=planted; Path=/; Secure`;
      document.cookie = `${name}=planted; Path=/`;
      document.cookie = `${name}=planted; Path=/; Secure; Domain=localhost`;
      return document.cookie;
    }, name);
  assert.equal(await plant(NAME), '');
  assert.deepEqual(await jar(browser), stored);

  await logOut(page);
  await loginForm(page);
  assert.equal(await plant(NAME), `${NAME}=planted`);
  const answer = await page.reload();
  assert.equal(answer.status(), 200);
  await loginForm(page);
  await logIn(page);
  await greeting(page);
  const [replaced, ...rest] = await jar(browser);
  assert.deepEqual(rest, []);
  assert.deepEqual(attributes(replaced), live('localhost', server.port));
});

test("under the prefix a sibling domain can plant nothing; without it the session is empty rather than somebody else's", async (t) => {
  const server = await Server.start(t);
  const secure = await httpsFront(t, server);
  const evil = await serve(t, '');
  const { browser, page } = await browse(t, { ignoreHTTPSErrors: true });
  // A session of the attacker's own is valid, wherever it comes from.
  const attacker = await browse(t, { ignoreHTTPSErrors: true });
  const attackersCookie = async (url, name) => {
    await attacker.page.goto(url);
    await logIn(attacker.page, 'grace');
    await greeting(attacker.page, 'Grace Hopper');
    return (await jar(attacker.browser)).find((cookie) => cookie.name === name).value;
  };
  const plant = async (name, value) => {
    const tab = await browser.newPage();
    await tab.goto(`http://evil.app.test:${evil}/`);
    await tab.evaluate(
      ([name, value]) => {
        for (const more of ['', '; Secure']) document.cookie = `${name}=${value}; Path=/; Domain=app.test${more}`;
      },
      [name, value],
    );
    await tab.close();
  };

  await page.goto(`https://app.test:${secure}/`);
  await logIn(page);
  await greeting(page);
  const stored = await jar(browser);
  await plant(NAME, await attackersCookie(`https://app.test:${secure}/`, NAME));
  assert.deepEqual(await jar(browser), stored);
  await page.reload();
  await greeting(page);

  await server.restart({ SECURE: '0' });
  await page.goto(server.at('app.test'));
  await logIn(page);
  await greeting(page);
  await plant('session', await attackersCookie(server.at('app.test'), 'session'));
  const both = (await jar(browser)).filter((cookie) => cookie.name === 'session');
  assert.deepEqual(both.map((cookie) => cookie.domain).sort(), ['.app.test', 'app.test']);
  const answer = await page.reload();
  assert.equal(answer.status(), 200);
  await loginForm(page);
});

/// HTTPS in front of the example, as a proxy in production, with a certificate that nobody else trusts.
async function httpsFront(t, server) {
  const folder = newProfile(t);
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(folder, name));
  const openssl = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'];
  execFileSync('openssl', [...openssl, '-subj', '/CN=app.test', '-keyout', key, '-out', cert], { stdio: 'ignore' });
  const front = https.createServer({ key: readFileSync(key), cert: readFileSync(cert) }, (request, response) => {
    const { method, url: path, headers } = request;
    const onward = http.request({ host: '127.0.0.1', port: server.port, method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    onward.on('error', () => response.destroy());
    request.pipe(onward);
  });
  afterwards(t, () => {
    front.close();
    front.closeAllConnections();
  });
  front.listen(0, '127.0.0.1');
  await once(front, 'listening');
  return front.address().port;
}
