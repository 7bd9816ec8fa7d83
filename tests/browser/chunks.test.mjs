// Sessions longer than one cookie.

import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import {
  NAME,
  Server,
  addNote,
  browse,
  greeting,
  jar,
  logIn,
  logOut,
  loginForm,
  newProfile,
  notes,
  press,
} from './support.mjs';

const LIMIT = 4096;

/// Nothing that a compression could shorten.
const text = (length) => randomBytes(length).toString('base64url').slice(0, length);

const names = (cookies) => cookies.map((cookie) => cookie.name);

async function loggedIn(t, settings, options) {
  const server = await Server.start(t, settings);
  const { browser, page } = await browse(t, options);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  return { server, browser, page };
}

test('8 KB go to the browser and come back, also after its end', async (t) => {
  const profile = newProfile(t);
  const { server, browser, page } = await loggedIn(t, { CHUNKED: '4' }, { profile });
  const written = [text(5000), text(3192)];
  for (const note of written) {
    await addNote(page, note);
    await page.getByText(note).waitFor();
  }
  const cookies = await jar(browser);
  assert.deepEqual(names(cookies), [NAME, `${NAME}.1`, `${NAME}.2`]);
  for (const { name, value, size, expires, ...attributes } of cookies) {
    assert.ok(name.length + value.length <= LIMIT);
    const { name: _, value: __, size: ___, expires: ____, ...first } = cookies[0];
    assert.deepEqual(attributes, first);
    assert.ok(Math.abs(expires - cookies[0].expires) < 1);
  }
  assert.equal(cookies[0].name.length + cookies[0].value.length, LIMIT);
  await page.reload();
  assert.deepEqual(await notes(page), written);

  await browser.close();
  const again = await browse(t, { profile });
  await again.page.goto(server.localhost);
  await greeting(again.page);
  assert.deepEqual(await notes(again.page), written);
});

test('a session that becomes shorter leaves no part behind, nor does a logout', async (t) => {
  const { browser, page } = await loggedIn(t, { CHUNKED: '4' });
  const long = text(11_000);
  await addNote(page, long);
  await page.getByText(long).waitFor();
  assert.deepEqual(names(await jar(browser)), [NAME, `${NAME}.1`, `${NAME}.2`, `${NAME}.3`]);

  await press(page, 'Clear notes');
  await page.getByText('No notes yet.').waitFor();
  assert.deepEqual(names(await jar(browser)), [NAME]);
  await page.reload();
  await greeting(page);

  const middle = text(4000);
  await addNote(page, middle);
  await page.getByText(middle).waitFor();
  assert.deepEqual(names(await jar(browser)), [NAME, `${NAME}.1`]);
  await logOut(page);
  await loginForm(page);
  assert.deepEqual(await jar(browser), []);
});

for (const [cookies, most] of [
  ['1', 3000],
  ['4', 12_000],
]) {
  test(`what does not fit into ${cookies} is refused with a page, and the session stays as it was`, async (t) => {
    const { browser, page } = await loggedIn(t, { CHUNKED: cookies });
    const kept = text(most - 1000);
    await addNote(page, kept);
    await page.getByText(kept).waitFor();
    const stored = await jar(browser);

    const answer = page.waitForResponse((response) => response.request().method() === 'POST');
    await addNote(page, text(1500));
    assert.equal((await answer).status(), 413);
    await page.getByRole('heading', { name: 'That was too much for the session' }).waitFor();
    assert.deepEqual(await jar(browser), stored);
    await page.getByRole('link', { name: 'Back' }).click();
    await greeting(page);
    assert.deepEqual(await notes(page), [kept]);
  });
}
