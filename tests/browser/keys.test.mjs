// The example starts again, with the same key, with a new one, with none.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, addNote, browse, greeting, jar, logIn, loginForm, newKey, notes } from './support.mjs';

async function loggedIn(t, settings) {
  const server = await Server.start(t, settings);
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  await addNote(page, 'before');
  await greeting(page);
  return { server, browser, page };
}

test('with the same key the login stays', async (t) => {
  const { server, page } = await loggedIn(t);
  await server.restart({});
  await page.reload();
  await greeting(page);
  assert.deepEqual(await notes(page), ['before']);
});

test('with a new key before the old one the login stays, and the next write moves it to the new key', async (t) => {
  const [old, added] = [newKey(), newKey()];
  const { server, browser, page } = await loggedIn(t, { SESSION_KEY: old });
  await server.restart({ SESSION_KEY: `${added},${old}` });
  await page.reload();
  await greeting(page);
  assert.deepEqual(await notes(page), ['before']);

  await server.restart({ SESSION_KEY: added });
  await page.reload();
  await greeting(page);
  assert.deepEqual(await notes(page), ['before']);
  assert.equal((await jar(browser)).length, 1);
});

test('with another key the login is dropped cleanly, and a new one works', async (t) => {
  const { server, browser, page } = await loggedIn(t);
  const stored = await jar(browser);
  await server.restart({ SESSION_KEY: newKey() });
  const answer = await page.reload();
  assert.equal(answer.status(), 200);
  await loginForm(page);
  assert.equal(await page.locator('#is-new').textContent(), 'yes');
  assert.deepEqual(await jar(browser), stored, 'reading a cookie that is not accepted says nothing about it');
  const warnings = server.log.filter((line) => line.includes('WARN') && line.includes('a session cookie was rejected'));
  assert.equal(warnings.length, 1, server.log.join('\n'));
  assert.ok(!server.log.join().includes(stored[0].value));

  await logIn(page);
  await greeting(page);
  assert.deepEqual(await notes(page), []);
  const [cookie, ...rest] = await jar(browser);
  assert.deepEqual(rest, []);
  assert.notEqual(cookie.value, stored[0].value);
  await page.reload();
  await greeting(page);
});

test('without a key the example says so, and its sessions end with it', async (t) => {
  const { server, page } = await loggedIn(t, { SESSION_KEY: undefined });
  assert.match(server.log.join('\n'), /SESSION_KEY=\$\(openssl rand -hex 32\)/);
  await server.restart({});
  const answer = await page.reload();
  assert.equal(answer.status(), 200);
  await loginForm(page);
  await logIn(page);
  await greeting(page);
});
