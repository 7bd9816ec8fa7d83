// Makes docs/login.png, the picture in the README: node tests/browser/screenshot.mjs

import { fileURLToPath } from 'node:url';
import { test } from 'node:test';
import { Server, addNote, browse, greeting, logIn } from './support.mjs';

test('the example, ready to be looked at', async (t) => {
  const server = await Server.start(t);
  const { page } = await browse(t, {
    viewport: { width: 900, height: 655 },
    deviceScaleFactor: 1.5,
    colorScheme: process.env.COLOR_SCHEME ?? 'light',
  });
  await page.goto(server.localhost);
  await logIn(page);
  await greeting(page);
  for (const note of ['Try the back button after logging out', 'Restart the server with a second key']) {
    await addNote(page, note);
    await page.getByText(note).waitFor();
  }
  await page.locator('h1').click();
  await page.screenshot({ path: process.argv[2] ?? fileURLToPath(new URL('../../docs/login.png', import.meta.url)) });
});
