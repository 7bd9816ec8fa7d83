// `Partitioned`: a session of its own in each site that embeds the application.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { NAME, Server, browse, greeting, jar, logIn, logOut, loginForm, serve } from './support.mjs';

const EMBEDDED = { SAME_SITE: 'none', PARTITIONED: '1' };

/// What a user may choose, and other browsers do anyway.
const BLOCK_THIRD_PARTY_COOKIES = ['--test-third-party-cookie-phaseout'];

/// Opens a page of the site `host` that embeds the application, and returns the application's frame.
async function embed(page, host, port) {
  await page.goto(`http://${host}:${port}/`);
  return page.frameLocator('iframe');
}

const inFrame = (application) =>
  `<!doctype html><title>Outside</title><iframe src="${application}/" width="900" height="600"></iframe>`;

test('on its own site the cookie is stored in the partition of that site', async (t) => {
  const server = await Server.start(t, { PARTITIONED: '1' });
  const { browser, page } = await browse(t);
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  const [cookie, ...rest] = await jar(browser);
  assert.deepEqual(rest, []);
  assert.equal(cookie.name, NAME);
  assert.deepEqual(cookie.partitionKey, { topLevelSite: 'http://localhost', hasCrossSiteAncestor: false });
  assert.equal(cookie.sameSite, 'Lax');
  assert.ok(cookie.secure && cookie.httpOnly);
  await page.reload();
  await greeting(page);
  await logOut(page);
  await loginForm(page);
  assert.deepEqual(await jar(browser), []);
});

for (const args of [[], BLOCK_THIRD_PARTY_COOKIES]) {
  const how = args.length ? ', with third-party cookies blocked' : '';

  test(`each site that embeds the application has a session of its own${how}`, async (t) => {
    const server = await Server.start(t, EMBEDDED);
    const port = await serve(t, inFrame(server.at('127.0.0.1')));
    const { browser, page } = await browse(t, { args });

    let frame = await embed(page, 'localhost', port);
    await logIn(frame, 'ada');
    await greeting(frame);
    frame = await embed(page, 'other.localhost', port);
    await loginForm(frame);
    await logIn(frame, 'grace');
    await greeting(frame, 'Grace Hopper');
    await page.goto(server.at('127.0.0.1'));
    await loginForm(page);

    const cookies = await jar(browser);
    assert.deepEqual(cookies.map((cookie) => [cookie.name, cookie.domain, cookie.sameSite, cookie.secure]), [
      [NAME, '127.0.0.1', 'None', true],
      [NAME, '127.0.0.1', 'None', true],
    ]);
    assert.deepEqual(cookies.map((cookie) => cookie.partitionKey.topLevelSite).sort(), [
      'http://localhost',
      'http://other.localhost',
    ]);
    assert.ok(cookies.every((cookie) => cookie.partitionKey.hasCrossSiteAncestor));

    frame = await embed(page, 'localhost', port);
    await greeting(frame, 'Ada Lovelace');
    await logOut(frame);
    await loginForm(frame);
    frame = await embed(page, 'other.localhost', port);
    await greeting(frame, 'Grace Hopper');
    assert.equal((await jar(browser)).length, 1);
  });
}

test('without `Partitioned` a frame has no session where third-party cookies are blocked', async (t) => {
  const server = await Server.start(t, { SAME_SITE: 'none' });
  const port = await serve(t, inFrame(server.at('127.0.0.1')));
  const { browser, page } = await browse(t, { args: BLOCK_THIRD_PARTY_COOKIES });
  const frame = await embed(page, 'localhost', port);
  await logIn(frame);
  await loginForm(frame);
  assert.deepEqual(await jar(browser), []);
});

test('without `SameSite=None` a frame in another site has no session', async (t) => {
  const server = await Server.start(t, { PARTITIONED: '1' });
  const port = await serve(t, inFrame(server.at('127.0.0.1')));
  const { browser, page } = await browse(t);
  const frame = await embed(page, 'localhost', port);
  await logIn(frame);
  await loginForm(frame);
  assert.deepEqual(await jar(browser), []);
});
