// Faults that were mended: a login that is sent twice, a logout with a message, "remember me", a
// request that fails half-way, and planted cookies. The server is that of the tests.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate } from './gate.mjs';
import { NAME, Server, browse, jar, loginForm, newProfile, press, storedIn } from './support.mjs';

const STORES = ['memory', 'sqlite'];
const EVERYWHERE = ['cookie', ...STORES];

const start = (t, store, settings) =>
  Server.start(t, { DATABASE: storedIn(t, store).DATABASE, example: 'browser_server', STORE: store, ...settings });

const hello = (page) => page.getByRole('heading', { name: 'Hello, ada' }).waitFor();
const nobody = (page) => page.getByRole('heading', { name: 'Nobody' }).waitFor();
const failed = (page) => page.getByRole('heading', { name: 'Something went wrong' }).waitFor();
const tooOld = (page) => page.getByRole('heading', { name: 'The form is too old' }).waitFor();
const message = (page) => page.locator('#message').textContent();

/// Whose session it is, by all that says so.
const who = async (page) => [
  await page.locator('h1').textContent(),
  await page.locator('#owner').textContent(),
  await page.locator('#since').textContent(),
];
const NOBODY = ['Nobody', '', 'never'];
const isAda = (store) => ['Hello, ada', store === 'cookie' ? '' : 'ada', 'some time'];

/// The login form, filled in. `sends`: whether its page comes with a cookie.
async function form(page, url, { sends } = {}) {
  const answer = await page.goto(`${url}/login`);
  assert.equal(answer.status(), 200);
  if (sends !== undefined) assert.equal('set-cookie' in (await answer.allHeaders()), sends);
  await loginForm(page);
  await page.getByLabel('User').fill('ada');
}

async function logIn(page, url) {
  await form(page, url);
  await press(page, 'Log in');
  await hello(page);
}

/// The page that a copy of this cookie opens.
async function opened(server, { name, value }) {
  const answer = await fetch(server.localhost, { headers: { cookie: `${name}=${value}` } });
  assert.equal(answer.status, 200);
  return answer.text();
}

const putForward = (server, seconds) => fetch(`${server.localhost}/clock/${seconds}`, { method: 'POST' });

// --- A login that is sent twice.

/// Clicks with the mouse alone, which do not wait for an answer that does not come. At the second
/// click the browser gives up the form that it has sent, and sends it again.
async function mouseOn(page, name) {
  const { x, y, width, height } = await page.getByRole('button', { name, exact: true }).boundingBox();
  return () => page.mouse.click(x + width / 2, y + height / 2);
}

// How a browser comes to throw the answer away that logs its user in.
const GIVEN_UP = {
  async 'a second click'({ page, click }) {
    await click();
    await tooOld(page);
  },
  async 'the stop button'({ browser, page }) {
    const devtools = await browser.newCDPSession(page);
    await devtools.send('Page.stopLoading');
  },
};

for (const store of STORES) {
  for (const [how, giveUp] of Object.entries(GIVEN_UP)) {
    test(`fault_a2_${store}: a login whose answer is thrown away by ${how}, and the form again`, async (t) => {
      const server = await start(t, store);
      const gate = await Gate.open(t, server);
      const { browser, page } = await browse(t);
      await form(page, gate.localhost, { sends: true });
      const [old] = await jar(browser);
      const first = gate.lose();
      const click = await mouseOn(page, 'Log in');
      await click();
      const [cookie] = await first.answered;
      assert.ok(cookie.startsWith(`${NAME}=`), cookie);
      await giveUp({ browser, page, click });
      await first.gone;
      assert.deepEqual(await jar(browser), [old]);

      // The server takes the browser for one whose newer cookie is on its way, and sends none.
      await form(page, gate.localhost, { sends: false });
      await press(page, 'Log in');
      await tooOld(page);
      assert.deepEqual(await jar(browser), [old]);

      await putForward(server, 121);
      await form(page, gate.localhost, { sends: true });
      await press(page, 'Log in');
      await hello(page);
      assert.deepEqual(await who(page), isAda(store));
      const [live, ...rest] = await jar(browser);
      assert.deepEqual(rest, []);
      assert.notEqual(live.value, old.value);
    });
  }
}

/// Two logins of one form, both of which have read the session before either has written it. Returns
/// how many cookies each sets.
async function loginsAtOnce(page, gate) {
  await form(page, gate.localhost, { sends: true });
  const click = await mouseOn(page, 'Log in');
  const first = gate.slow();
  await click();
  await first.read;
  const second = gate.slow();
  await click();
  await second.read;
  return [await first.release(), await second.release()].map((cookies) => cookies.length);
}

for (const store of EVERYWHERE) {
  test(`fault_a2_${store}: of two logins that are at work at once the second answer counts`, async (t) => {
    const server = await start(t, store);
    const gate = await Gate.open(t, server);
    const { page } = await browse(t);
    // In a store the first one renewed the session that the second one has read, so the second begins
    // one of its own.
    assert.deepEqual(await loginsAtOnce(page, gate), [1, 1]);
    await hello(page);
    assert.deepEqual(await who(page), isAda(store));
  });
}

// --- A logout with a message.

for (const store of EVERYWHERE) {
  test(`fault_a3_${store}: the message of a logout is in a session of nobody`, async (t) => {
    const server = await start(t, store);
    const { browser, page } = await browse(t);
    await logIn(page, server.localhost);
    assert.deepEqual(await who(page), isAda(store));
    const [old] = await jar(browser);

    await press(page, 'Log out');
    await nobody(page);
    assert.equal(await message(page), 'You are logged out.');
    assert.deepEqual(await who(page), NOBODY);
    await page.reload();
    await nobody(page);
    assert.equal(await message(page), '');
    assert.deepEqual(await who(page), NOBODY);
    for (const { value } of await jar(browser)) assert.notEqual(value, old.value);
    // A copy of a cookie that has everything in it is good until it expires.
    if (store !== 'cookie') assert.match(await opened(server, old), /<h1>Nobody<\/h1>/);
  });
}

// --- "Remember me".

for (const store of ['cookie', 'sqlite']) {
  test(`fault_f7_${store}: who asked to be remembered is, after the end of the browser, and nobody else`, async (t) => {
    const server = await start(t, store, { BROWSER_SESSION: '1' });
    const profile = newProfile(t);
    const before = await browse(t, { profile });
    await logIn(before.page, server.at('127.0.0.1'));
    await form(before.page, server.localhost);
    await before.page.getByLabel('Remember me').check();
    await press(before.page, 'Log in');
    await hello(before.page);
    const now = Date.now() / 1000;
    for (const { domain, session, expires } of await jar(before.browser)) {
      assert.equal(session, domain === '127.0.0.1', domain);
      if (!session) assert.ok(Math.abs(expires - now - 30 * 86_400) < 60, `${expires - now} s`);
    }
    await before.browser.close();

    const { browser, page } = await browse(t, { profile });
    assert.deepEqual((await jar(browser)).map(({ domain }) => domain), ['localhost']);
    await page.goto(server.localhost);
    await hello(page);
    await page.goto(server.at('127.0.0.1'));
    await nobody(page);
  });
}

// --- Requests that fail half-way.

for (const store of EVERYWHERE) {
  test(`fault_f15_${store}: a login that fails logs nobody in, and a logout that fails logs out`, async (t) => {
    const server = await start(t, store);
    const { browser, page } = await browse(t);
    await form(page, server.localhost);
    const visitor = await jar(browser);
    await press(page, 'Log in, and fail');
    await failed(page);
    assert.deepEqual(await jar(browser), visitor);
    await page.goto(server.localhost);
    assert.deepEqual(await who(page), NOBODY);

    for (const how of ['destroy', 'clear']) {
      await logIn(page, server.localhost);
      const [old] = await jar(browser);
      await press(page, `Log out by ${how}, and fail`);
      await failed(page);
      assert.deepEqual(await jar(browser), [], how);
      await page.goto(server.localhost);
      assert.deepEqual(await who(page), NOBODY);
      if (store !== 'cookie') assert.match(await opened(server, old), /<h1>Nobody<\/h1>/);
    }
  });
}

// --- Planted cookies.

test('fault_a4_cookie: no number of planted cookies hides the own one', async (t) => {
  const server = await start(t, 'cookie');
  const { page } = await browse(t);
  await logIn(page, server.localhost);
  // Those of a longer path come first.
  const deep = '/a'.repeat(70);
  await page.evaluate((deep) => {
    for (let end = 2; end <= deep.length; end += 2) document.cookie = `older=planted; Path=${deep.slice(0, end)}`;
  }, deep);
  const answer = await page.goto(server.localhost + deep);
  const { cookie } = await answer.request().allHeaders();
  assert.equal(cookie.split('older=planted; ').length, 71);
  await hello(page);
});
