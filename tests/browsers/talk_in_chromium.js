// Opens the page in headless Chromium, whose microphone is a WAV file, talks, and prints what was seen as JSON.
//   node talk_in_chromium.js <playwright-core> <chromium> <wav> <url> [<page of the other end of a WebRTC call>]
const [, , playwright, executablePath, wav, url, otherEnd] = process.argv;
const { chromium } = require(playwright);

(async () => {
  const browser = await chromium.launch({
    executablePath,
    args: [
      "--use-fake-ui-for-media-stream",
      "--use-fake-device-for-media-stream",
      `--use-file-for-fake-audio-capture=${wav}%noloop`,
      "--autoplay-policy=no-user-gesture-required",
      "--no-sandbox",
      "--disable-features=WebRtcHideLocalIpsWithMdns",
    ],
  });
  const page = await browser.newPage();
  const seen = { sent: 0, heard: 0, problems: [], texts: [] };
  page.on("pageerror", (error) => seen.problems.push(String(error)));
  page.on("console", (message) => {
    if (message.type() === "error") seen.problems.push(message.text());
  });
  page.on("websocket", (socket) => {
    socket.on("framesent", ({ payload }) => {
      const event = JSON.parse(payload);
      if (event.type === "input_audio_buffer.append") seen.sent += Buffer.from(event.audio, "base64").length;
    });
    socket.on("framereceived", ({ payload }) => {
      const event = JSON.parse(payload);
      if (event.type === "response.output_audio.delta") seen.heard += Buffer.from(event.delta, "base64").length;
      seen.texts.push(payload.slice(0, 2000));
    });
  });
  const other = otherEnd && (await browser.newPage());
  if (other) await other.goto(otherEnd);
  await page.goto(url);
  seen.source = await page.content();
  await page.click("#talk");
  await page.waitForFunction(() => document.querySelector("#state").textContent === "Your turn.", null, { timeout: 30000 })
    .catch((error) => seen.problems.push(error.message));
  await page.waitForFunction(() => document.querySelector(".you")?.textContent, null, { timeout: 5000 })
    .catch((error) => seen.problems.push(error.message));
  seen.you = await page.locator(".you").allTextContents();
  seen.assistant = await page.locator(".assistant").allTextContents();
  seen.state = await page.textContent("#state");
  if (other) seen.energy = await other.evaluate(() => energyHeard());
  await page.click("#talk");
  seen.button = await page.textContent("#talk");
  if (process.env.SHOT) await page.screenshot({ path: process.env.SHOT });
  console.log(JSON.stringify(seen));
  await browser.close();
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
