// "Your devices": with a store, a user sees where they are logged in, and ends it from elsewhere.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, addNote, browse, greeting, jar, logIn, loginForm, logOut, notes, press, storedIn } from './support.mjs';

const CHROME = 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36';
const FIREFOX = 'Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0';
const SAFARI =
  'Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1';

const HERE = 'Chrome on Linux';
const list = (page) => page.locator('ul[aria-labelledby=devices]');
const flash = (page) => page.locator('.flash').textContent();

/// The list as it is on the page: its labels, and which is marked.
async function devices(page) {
  await page.locator('aside').waitFor();
  const labels = await list(page).locator('strong').allTextContents();
  const own = await list(page).locator('li').filter({ hasText: 'this device' }).locator('strong').allTextContents();
  return { labels, own };
}

/// A browser of its own, in which the user is logged in.
async function device(t, server, userAgent = CHROME, user = 'ada', name = 'Ada Lovelace') {
  const { browser, page } = await browse(t, { userAgent });
  await page.goto(server.localhost);
  await logIn(page, user);
  await greeting(page, name);
  return { browser, page };
}

for (const store of ['memory', 'sqlite']) {
  test(`${store}: a device sees the others, and ends one`, async (t) => {
    const server = await Server.start(t, storedIn(t, store));
    const one = await device(t, server);
    assert.deepEqual(await devices(one.page), { labels: [HERE], own: [HERE] });
    assert.equal(await one.page.getByText('Log out everywhere else').count(), 0);
    const two = await device(t, server, FIREFOX);
    assert.deepEqual(await devices(two.page), {
      labels: ['Firefox on Windows', HERE],
      own: ['Firefox on Windows'],
    });
    await one.page.reload();
    assert.deepEqual(await devices(one.page), { labels: [HERE, 'Firefox on Windows'], own: [HERE] });
    assert.match(await list(one.page).locator('p').first().textContent(), /^began (just now|\d+ s ago), last seen just now$/);

    const kept = await jar(one.browser);
    await press(one.page, 'End Firefox on Windows');
    await greeting(one.page);
    assert.equal(await flash(one.page), 'That device is logged out.');
    assert.deepEqual(await devices(one.page), { labels: [HERE], own: [HERE] });
    assert.deepEqual(await jar(one.browser), kept);

    // The next thing that the other one does: its note goes nowhere.
    await addNote(two.page, 'too late');
    await loginForm(two.page);
    await logIn(two.page);
    await greeting(two.page);
    assert.deepEqual(await notes(two.page), []);
    await one.page.reload();
    await greeting(one.page);
    assert.deepEqual((await devices(one.page)).labels, [HERE, 'Firefox on Windows']);
  });

  test(`${store}: log out everywhere else`, async (t) => {
    const server = await Server.start(t, storedIn(t, store));
    const grace = await device(t, server, undefined, 'grace', 'Grace Hopper');
    const one = await device(t, server);
    const two = await device(t, server, FIREFOX);
    const three = await device(t, server, SAFARI);
    assert.deepEqual((await devices(three.page)).labels, ['Safari on iPhone', 'Firefox on Windows', HERE]);

    await press(two.page, 'Log out everywhere else');
    await greeting(two.page);
    assert.equal(await flash(two.page), 'Logged out on other devices: 2.');
    assert.deepEqual(await devices(two.page), { labels: ['Firefox on Windows'], own: ['Firefox on Windows'] });
    for (const { page } of [one, three]) {
      await page.reload();
      await loginForm(page);
    }
    await grace.page.reload();
    await greeting(grace.page, 'Grace Hopper');
    assert.deepEqual((await devices(grace.page)).labels, [HERE]);
  });

  test(`${store}: nobody ends the session of somebody else`, async (t) => {
    const server = await Server.start(t, storedIn(t, store));
    const ada = await device(t, server);
    await device(t, server, FIREFOX);
    await ada.page.reload();
    const stolen = await list(ada.page).locator('input[name=id]').inputValue();
    assert.match(stolen, /^[0-9a-f]{64}$/);
    assert.ok(!(await jar(ada.browser)).some(({ value }) => value.includes(stolen)));

    const grace = await device(t, server, undefined, 'grace', 'Grace Hopper');
    await device(t, server, SAFARI, 'grace', 'Grace Hopper');
    for (const [id, message] of [
      [stolen, 'That device was not logged in.'],
      ['../' + stolen.slice(3), ''],
      ['', ''],
    ]) {
      await grace.page.reload();
      await list(grace.page).locator('input[name=id]').evaluate((input, id) => (input.value = id), id);
      await press(grace.page, 'End Safari on iPhone');
      await greeting(grace.page, 'Grace Hopper');
      assert.equal(await flash(grace.page), message);
      assert.equal((await devices(grace.page)).labels.length, 2);
    }
    await ada.page.reload();
    await greeting(ada.page);
    assert.equal((await devices(ada.page)).labels.length, 2);
  });
}

test('a logout takes the device off the list', async (t) => {
  const server = await Server.start(t, storedIn(t, 'memory'));
  const one = await device(t, server);
  const two = await device(t, server, FIREFOX);
  await logOut(two.page);
  await loginForm(two.page);
  assert.deepEqual(await jar(two.browser), []);
  await one.page.reload();
  assert.deepEqual((await devices(one.page)).labels, [HERE]);
});

test('with a file, devices stay logged in over a restart, and can still be ended', async (t) => {
  const server = await Server.start(t, storedIn(t, 'sqlite'));
  const one = await device(t, server);
  await addNote(one.page, 'kept');
  await greeting(one.page);
  const two = await device(t, server, FIREFOX);
  await server.restart({});
  await one.page.reload();
  await greeting(one.page);
  assert.deepEqual(await notes(one.page), ['kept']);
  await press(one.page, 'End Firefox on Windows');
  await greeting(one.page);
  await two.page.reload();
  await loginForm(two.page);
});

test('without a store the page says why there is no list', async (t) => {
  const server = await Server.start(t);
  const { page } = await device(t, server);
  assert.equal(await list(page).count(), 0);
  await page.getByText('There is no list of your devices').waitFor();
  await page.getByText('All of it is in the cookie').waitFor();
});

for (const store of [undefined, 'memory', 'sqlite']) {
  test(`${store ?? 'cookie'}: a logout with a message leaves the message and nothing of the user`, async (t) => {
    const settings = store ? storedIn(t, store) : {};
    const server = await Server.start(t, { ...settings, FAREWELL: '1' });
    const { browser, page } = await device(t, server);
    await addNote(page, 'of Ada');
    await greeting(page);
    const [before] = await jar(browser);
    await logOut(page);
    await loginForm(page);
    assert.equal(await flash(page), 'You are logged out.');
    await page.reload();
    await loginForm(page);
    assert.equal(await flash(page), '', 'once');
    // An emptied session is removed from the cookie; a record stays, and it is nobody's, under another ticket.
    const after = await jar(browser);
    assert.equal(after.length, store ? 1 : 0);
    if (store) {
      assert.notEqual(after[0].value, before.value);
      const other = await device(t, server, FIREFOX);
      assert.deepEqual(await devices(other.page), { labels: ['Firefox on Windows'], own: ['Firefox on Windows'] });
      // A copy of the user's ticket opens nothing.
      const cookie = `${before.name}=${before.value}`;
      const answer = await fetch(server.at('127.0.0.1'), { headers: { cookie } });
      const text = await answer.text();
      assert.ok(text.includes('There are two demo users.') && !text.includes('Ada'), text);
    }
    await logIn(page, 'grace');
    await greeting(page, 'Grace Hopper');
    assert.deepEqual(await notes(page), []);
  });
}
