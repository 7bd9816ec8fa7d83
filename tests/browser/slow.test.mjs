// Requests that are slower than a logout or a login in another tab: nothing that ended comes back, and what began stays.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Gate, send } from './gate.mjs';
import {
  Server,
  addNote,
  browse,
  greeting,
  jar,
  logIn,
  logOut,
  loginForm,
  notes,
  press,
  storedIn,
} from './support.mjs';

const again = (page) => page.getByRole('heading', { name: 'Is it still you?' }).waitFor();
const flash = (page) => page.locator('.flash').textContent();
const NO = 'That user and password do not go together.';

// What the slow tab sends. One is written by the handler itself, the other with the response.
const SLOW = {
  'a note': async (page) => {
    await page.getByLabel('New note').fill('late');
    await send(page, 'Add note');
  },
  'a wrong password': async (page, gate) => {
    await page.goto(`${gate.localhost}/codes`);
    await page.getByLabel('User').fill('ada');
    await page.getByLabel('Password').fill('wrong');
    await send(page, 'Log in');
  },
};

// What happens meanwhile in another tab, or on another device, and whether the browser is logged in afterwards.
const MEANWHILE = {
  'a logout': {
    stays: false,
    async act({ tab }) {
      await logOut(tab);
      await loginForm(tab);
    },
  },
  'a logout and a new login': {
    stays: true,
    async act({ tab }) {
      await logOut(tab);
      await loginForm(tab);
      await logIn(tab);
      await tab.locator('aside').waitFor();
    },
  },
  'a login that renews the session': {
    stays: true,
    keeps: ['before'],
    async act({ tab, gate }) {
      await tab.goto(`${gate.localhost}/codes`);
      await logIn(tab);
      await again(tab);
    },
  },
  'its end from another device': {
    stays: false,
    async act({ other }) {
      await other.reload();
      await press(other, 'Log out everywhere else');
      await greeting(other);
    },
  },
};

/// Ada is logged in: in two tabs of one browser, and on another device.
async function start(t, store) {
  // No login is recent, so `/codes` asks for the password each time.
  const server = await Server.start(t, { ...storedIn(t, store), RECENT_SECONDS: '0' });
  const gate = await Gate.open(t, server);
  const { browser, page } = await browse(t);
  await page.goto(gate.localhost);
  await logIn(page);
  await greeting(page);
  await addNote(page, 'before');
  await greeting(page);
  const tab = await browser.newPage();
  await tab.goto(gate.localhost);
  await greeting(tab);
  const { page: other } = await browse(t);
  await other.goto(gate.localhost);
  await logIn(other);
  await greeting(other);
  return { gate, browser, page, tab, other };
}

const devices = (page) => page.locator('ul[aria-labelledby=devices] li').count();

const SLOW_IN = { memory: ['a note', 'a wrong password'], sqlite: ['a note'] };

for (const [store, kinds] of Object.entries(SLOW_IN)) {
  for (const slow of kinds) {
    const sends = SLOW[slow];
    test(`${store}: ${slow}, slowly, and nothing meanwhile: it is kept`, async (t) => {
      const { gate, browser, page, tab } = await start(t, store);
      const request = gate.slow();
      await sends(page, gate);
      await request.read;
      const before = await jar(browser, tab);
      assert.deepEqual(await request.release(), []);
      await page.getByText(slow === 'a note' ? 'The note is in the session.' : NO).waitFor();
      assert.deepEqual(await notes(page), slow === 'a note' ? ['before', 'late'] : ['before']);
      assert.deepEqual(await jar(browser, tab), before);
    });

    for (const [meanwhile, { act, stays, keeps = [] }] of Object.entries(MEANWHILE)) {
      test(`${store}: ${slow}, and meanwhile ${meanwhile}`, async (t) => {
        const { gate, browser, page, tab, other } = await start(t, store);
        const [old] = await jar(browser, tab);
        const request = gate.slow();
        await sends(page, gate);
        await request.read;
        await act({ gate, tab, other });
        const left = await jar(browser, tab);
        if (stays) assert.notEqual(left[0].value, old.value);

        assert.deepEqual(await request.release(), [], 'no Set-Cookie');
        if (stays) await greeting(page);
        else await loginForm(page);
        assert.deepEqual(await jar(browser, tab), left);

        // Nothing of it is anywhere: not in what lives on, and not as a session of its own.
        assert.notEqual(await flash(page), NO);
        await page.goto(gate.localhost);
        if (stays) {
          await greeting(page);
          assert.deepEqual(await notes(page), keeps);
        } else {
          await loginForm(page);
        }
        await other.reload();
        await greeting(other);
        assert.equal(await devices(other), stays ? 2 : 1);
      });
    }
  }
}
