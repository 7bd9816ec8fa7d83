// The day on which `Partitioned` is switched on or off, under the cookies of users who are logged in.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NAME, Server, addNote, browse, greeting, jar, logIn, logOut, loginForm, notes } from './support.mjs';

const names = (cookies) => cookies.map((cookie) => cookie.name);
const isPartitioned = (cookie) => cookie.partitionKey?.topLevelSite === 'http://localhost';

// Ada is logged in, and one tab still shows the login form. Then `Partitioned` is switched, and the first request is:
const FIRST = {
  async 'an update'({ page, note }) {
    await addNote(page, 'after');
    await greeting(page);
    assert.deepEqual(await notes(page), [note, 'after']);
    await page.reload();
    await greeting(page);
    assert.deepEqual(await notes(page), [note, 'after']);
  },
  async 'a login'({ page, form }) {
    await logIn(form, 'grace');
    await greeting(form, 'Grace Hopper');
    await page.reload();
    await greeting(page, 'Grace Hopper');
    assert.deepEqual(await notes(page), []);
  },
  async 'a logout'({ page }) {
    await logOut(page);
    await loginForm(page);
  },
};

// Long ones too: each of their parts has to leave the old partition.
const SWITCHES = [
  ['on', undefined, '1', 6],
  ['on', undefined, '1', 6000],
  ['off', '1', '0', 6],
];

for (const [first, act] of Object.entries(FIRST)) {
  for (const [to, before, after, length] of SWITCHES) {
    test(`switched ${to} under a live cookie (${length} bytes), ${first} takes effect`, async (t) => {
      const server = await Server.start(t, { CHUNKED: '4', ...(before && { PARTITIONED: before }) });
      const { browser, page } = await browse(t);
      const form = await browser.newPage();
      await form.goto(server.localhost);
      await page.goto(server.localhost);
      await logIn(page);
      await greeting(page);
      const note = 'before'.padEnd(length, 'x');
      await addNote(page, note);
      await page.getByText(note).waitFor();
      const old = await jar(browser);
      assert.equal(old.length, length > 4000 ? 3 : 1);
      assert.ok(old.every((cookie) => isPartitioned(cookie) === (to === 'off')));

      await server.restart({ PARTITIONED: after });
      await act({ page, form, note });
      const cookies = await jar(browser);
      assert.deepEqual(names(cookies), { 'an update': names(old), 'a login': [NAME], 'a logout': [] }[first]);
      assert.ok(cookies.every((cookie) => isPartitioned(cookie) === (to === 'on')));

      if (first !== 'a logout') await logOut(page);
      await loginForm(page);
      await page.reload();
      await loginForm(page);
      assert.deepEqual(await jar(browser), []);
    });
  }
}
