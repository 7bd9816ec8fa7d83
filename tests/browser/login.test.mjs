// What a user sees: logging in and out, several tabs, the back button, and what other sites and other users may not do.

import assert from 'node:assert/strict';
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
  serve,
  visits,
} from './support.mjs';

const flash = (page) => page.locator('.flash').textContent();
const codes = (page) => page.getByRole('heading', { name: 'Recovery codes' }).waitFor();

test('a login lives through reloads and holds in a second tab', async (t) => {
  const server = await Server.start(t);
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  assert.equal(await page.locator('#is-new').textContent(), 'yes');
  await logIn(page);
  await greeting(page);
  assert.equal(await flash(page), 'You are logged in.');
  assert.equal(await page.locator('#is-new').textContent(), 'no');
  assert.match(await page.locator('#authenticated').textContent(), /^(just now|\d+ s ago)$/);
  assert.equal(await page.locator('#expires').textContent(), 'in 14 days');
  assert.equal(await visits(page), 1);

  await page.reload();
  await greeting(page);
  assert.equal(await flash(page), '', 'a message is shown once');
  assert.equal(await visits(page), 2);

  const second = await browser.newPage();
  await second.goto(server.localhost);
  await greeting(second);
  assert.equal(await visits(second), 3);
  await addNote(second, 'from the second tab');
  await greeting(second);
  await page.reload();
  assert.deepEqual(await notes(page), ['from the second tab']);
  assert.equal(await visits(page), 5);
  assert.equal((await jar(browser)).length, 1);
});

test('a login lives through the end of the browser', async (t) => {
  const server = await Server.start(t);
  const profile = newProfile(t);
  const before = await browse(t, { profile });
  await before.page.goto(server.localhost);
  await logIn(before.page);
  await greeting(before.page);
  await before.browser.close();

  const { page } = await browse(t, { profile });
  await page.goto(server.localhost);
  await greeting(page);
  assert.equal(await visits(page), 2);
});

test('a visitor who only looks gets no cookie', async (t) => {
  const server = await Server.start(t);
  const { browser, page } = await browse(t);
  const responses = [];
  page.on('response', (response) => responses.push(response));
  await page.goto(server.localhost);
  await loginForm(page);
  assert.deepEqual(await jar(browser), []);

  const [html, style] = await Promise.all(responses.map((response) => response.allHeaders()));
  assert.equal(html['vary'], 'Cookie');
  assert.equal(html['cache-control'], 'no-store');
  assert.equal(style['content-type'], 'text/css');
  assert.equal(style['vary'], undefined, 'what does not touch the session does not depend on it');
  assert.equal(style['cache-control'], 'public, max-age=60');
});

test('a wrong password logs nobody in, and the message leaves no cookie behind', async (t) => {
  const server = await Server.start(t);
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page, 'ada', 'wrong');
  await page.getByText('That user and password do not go together.').waitFor();
  await loginForm(page);
  assert.deepEqual(await jar(browser), [], 'an emptied session is removed');
  await page.reload();
  await loginForm(page);
  assert.equal(await flash(page), '');
});

test('a logout removes the cookie and holds in every tab', async (t) => {
  const server = await Server.start(t);
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  const second = await browser.newPage();
  await second.goto(server.localhost);
  await greeting(second);

  await logOut(second);
  await loginForm(second);
  assert.deepEqual(await jar(browser), []);

  // The first tab still shows the page, but what it sends brings nothing back.
  await addNote(page, 'too late');
  await loginForm(page);
  assert.deepEqual(await jar(browser), []);
  await logIn(page);
  await greeting(page);
  assert.deepEqual(await notes(page), []);
});

test('after a logout the back button shows nothing private', async (t) => {
  const server = await Server.start(t);
  const { page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  await page.getByRole('link', { name: 'Recovery codes' }).click();
  await codes(page);
  await page.getByRole('link', { name: 'Back' }).click();
  await greeting(page);
  await logOut(page);
  await loginForm(page);

  await page.goBack();
  await loginForm(page);
  // A page at an address that nobody fetched again since: kept, it would come back as it was.
  await page.goBack();
  await page.getByRole('heading', { name: 'Is it still you?' }).waitFor();
  assert.equal(await page.getByText('7F3K').count(), 0);
});

test('another user finds nothing of the last one', async (t) => {
  const server = await Server.start(t);
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  await addNote(page, 'of Ada');
  await greeting(page);
  const [ada] = await jar(browser);

  // No logout in between: somebody else answers when the password is asked for again.
  await server.restart({ RECENT_SECONDS: '0' });
  await page.goto(`${server.localhost}/codes`);
  await server.restart({ RECENT_SECONDS: undefined });
  await logIn(page, 'grace');
  await codes(page);
  await page.goto(server.localhost);
  await greeting(page, 'Grace Hopper');
  assert.deepEqual(await notes(page), []);
  assert.equal(await visits(page), 1);
  const [grace, ...rest] = await jar(browser);
  assert.deepEqual(rest, []);
  assert.notEqual(grace.value, ada.value);
});

test('a page that wants a recent login asks for the password, goes on where it was, and loses nothing', async (t) => {
  const server = await Server.start(t);
  const { page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  await addNote(page, 'kept');
  await greeting(page);
  await page.goto(`${server.localhost}/codes`);
  await codes(page);

  await server.restart({ RECENT_SECONDS: '0' });
  await page.reload();
  await page.getByRole('heading', { name: 'Is it still you?' }).waitFor();
  assert.equal(await page.getByText('7F3K').count(), 0);
  await server.restart({ RECENT_SECONDS: undefined });
  await logIn(page);
  await codes(page);
  await page.getByRole('link', { name: 'Back' }).click();
  await greeting(page);
  assert.deepEqual(await notes(page), ['kept']);
});

test("another site's form comes without the cookie and changes nothing; its link comes with it", async (t) => {
  const server = await Server.start(t);
  const port = await serve(
    t,
    `<form method="post" action="${server.localhost}/notes"><input name="text" value="forged"><button>Win</button></form>
     <form method="post" action="${server.localhost}/logout"><button>Leave</button></form>
     <a href="${server.localhost}/">Link</a>`,
  );
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  const stored = await jar(browser);

  const devtools = await browser.newCDPSession(page);
  await devtools.send('Network.enable');
  for (const button of ['Win', 'Leave']) {
    await page.goto(`http://127.0.0.1:${port}/`);
    const sent = new Promise((resolve) => {
      devtools.on('Network.requestWillBeSentExtraInfo', (request) => {
        if (request.headers.Host === `localhost:${server.port}`) resolve(request);
      });
    });
    const answer = page.waitForResponse((response) => response.request().method() === 'POST');
    await page.getByRole('button', { name: button }).click();
    assert.equal((await answer).status(), 403);
    const { headers, associatedCookies } = await sent;
    assert.equal(headers.Cookie, undefined);
    assert.deepEqual(associatedCookies.map(({ cookie }) => cookie.name), [NAME]);
    assert.match(associatedCookies[0].blockedReasons.join(), /^(Schemeful)?SameSiteLax$/);
    assert.deepEqual(await jar(browser), stored);
  }

  await page.goto(`http://127.0.0.1:${port}/`);
  await page.getByRole('link', { name: 'Link' }).click();
  await greeting(page);
  assert.deepEqual(await notes(page), []);
});

test('what a user writes stays text', async (t) => {
  const server = await Server.start(t);
  const { page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  const texts = ['<script>document.title = "run"</script>', '{name} {{visits}} {', `"'&amp;<li>`, 'Grüße, 世界 🍵'];
  for (const text of texts) {
    await addNote(page, text);
    await page.getByRole('listitem').filter({ hasText: text }).waitFor();
  }
  assert.deepEqual(await notes(page), texts);
  assert.equal(await page.title(), 'Home - http-session');
});
