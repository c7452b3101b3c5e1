// page.mjs URL FOLDER: looks at the page. Each line that it prints is something wrong, but for "break the Corefile" and
// "end the server", after which it waits for a line, and "done".
import {chromium} from "playwright-core";
import axe from "axe-core";
import {createInterface} from "node:readline";
import {join} from "node:path";

const [url, folder] = process.argv.slice(2);
const began = Date.now(), phase = name => process.env.PHASES && console.error((Date.now() - began) / 1000, name);
const origin = new URL(url).origin, port = new URL(url).port;
const wrong = text => console.log(text.replaceAll("\n", " "));
const check = (ok, text) => { if (!ok) wrong(text); };
const lines = createInterface({input: process.stdin})[Symbol.asyncIterator]();
const ask = async text => { console.log(text); await lines.next(); };

const browser = await chromium.launch({executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", `--host-resolver-rules=MAP evil.test 127.0.0.1`]});

// open loads the page, and watches what it does.
async function open(options) {
  const page = await browser.newPage(options);
  const name = options.name;
  page.setDefaultTimeout(90_000); // machines of CI are busy
  page.on("console", m => { if (["error", "warning"].includes(m.type()) && !page.away) wrong(`${name}: console: ${m.text()}`); });
  page.on("pageerror", e => wrong(`${name}: ${e.message}`));
  page.on("dialog", d => { wrong(`${name}: a name from the network ran: ${d.message()}`); d.dismiss(); });
  page.on("request", r => check(new URL(r.url()).origin === origin, `${name}: asks ${r.url()}`));
  await page.goto(url);
  await page.locator("#list-failures table").waitFor();
  await page.locator("#found-services button").first().waitFor();
  return page;
}

async function axeOn(page, name) {
  await page.evaluate(axe.source);
  const result = await page.evaluate(() => axe.run(document, {runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}));
  for (const v of result.violations) for (const n of v.nodes)
    wrong(`${name}: axe: ${v.id} (${v.help}): ${n.target} ${n.failureSummary}`);
  check(result.passes.length > 20, `${name}: axe looked at little: ${result.passes.length}`);
}

// unfold shows all that the page can show.
async function unfold(page) {
  for (const summary of await page.locator("summary").all()) await summary.click();
  await page.locator("#table-queries table").waitFor();
  await page.locator("#search input").fill("web");
  await page.getByText(/of 30 services/).waitFor();
  await page.locator("#found-services button").first().click();
  await page.locator("#records table").waitFor();
  await page.locator("#ask input[name=name]").fill("nothing-ready");
  await page.locator("#ask input[name=from]").fill("datarc");
  await page.locator("#ask input[name=client]").fill("192.0.2.7");
  await page.locator("#ask button").click();
  await page.getByText("none of its endpoints is ready").waitFor();
  await page.getByText("Asked as 192.0.2.7 over TCP").waitFor();
  await page.locator("#questions table").waitFor();
  await page.locator("#filter input[name=name]").fill("cluster.local");
  await page.locator("#filter button").click();
  await page.locator("#list-live td.name").first().waitFor();
}

// shot takes the whole page. The bar that stays at the top would stand in the middle of it.
async function shot(page, name) {
  await page.evaluate(() => { document.querySelector("header").style.position = "static"; scrollTo(0, 0); });
  await page.screenshot({path: join(folder, name + ".png"), fullPage: true});
  await page.evaluate(() => { document.querySelector("header").style.position = ""; });
}

for (const [name, options] of Object.entries({
  light: {colorScheme: "light", viewport: {width: 1280, height: 900}},
  dark: {colorScheme: "dark", viewport: {width: 1280, height: 900}},
  narrow: {colorScheme: "light", viewport: {width: 360, height: 740}},
})) {
  const page = await open({...options, name});
  if (name === "light") {
    await page.setViewportSize({width: 1160, height: 720});
    await page.waitForTimeout(500);
    await page.screenshot({path: join(folder, "readme.png")});
    await page.setViewportSize(options.viewport);
  }
  await unfold(page);
  phase(name + " open");
  await axeOn(page, name);
  phase("axe");
  await shot(page, name);
  phase("shot");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  check(wide <= 0, `${name}: the page is ${wide} px wider than the window`);
  const text = await page.locator("main").innerText();
  check(text.includes("<img src=x onerror=alert\\(1\\)>") || text.includes("<img\\ src=x\\ onerror=alert\\(1\\)>"), `${name}: the name that is markup is not shown as text`);
  check(await page.locator("main img").count() === 0, `${name}: a name from the network has become an element`);
  check(await page.locator("#questions tr", {hasText: "this one"}).innerText().then(t => t.includes("nothing-ready.datarc.svc.cluster.local")), `${name}: explain does not say which question decides`);
  await page.locator("#differences table").waitFor();
  for (const want of ["0 of 2 endpoints ready", "127.0.0.1:1 refuses to be asked", "127.0.0.10", "SERVFAIL", "kubernetes cluster.local"])
    check(text.includes(want), `${name}: ${want} is not on the page`);
  await page.close();
}

// The keyboard alone.
{
  const page = await open({name: "keyboard", viewport: {width: 1280, height: 900}});
  const focused = () => page.evaluate(() => {
    const e = document.activeElement, s = getComputedStyle(e.matches("input[type=radio]") ? e.nextElementSibling : e);
    return {what: (e.textContent || e.getAttribute("aria-label") || e.name || "").trim().slice(0, 40), tag: e.tagName, type: e.type,
      id: e.id || e.name, inList: !!e.closest(".list ul"), ring: s.outlineStyle !== "none" && parseFloat(s.outlineWidth) > 0};
  });
  await page.keyboard.press("Tab");
  check((await focused()).what.startsWith("Skip"), "keyboard: the first stop is not the link to the content");
  await page.keyboard.press("Enter");
  check((await focused()).id === "main", "keyboard: the link to the content does not lead there");
  const stops = [];
  let listed = 0;
  for (let i = 0; i < 400; i++) {
    await page.keyboard.press("Tab");
    const f = await focused();
    if (f.tag === "BODY") break;
    check(f.ring, `keyboard: nobody sees the focus on ${f.tag} ${f.what}`);
    if (f.inList && listed++ > 40) await page.evaluate(() => document.getElementById("previous").focus());
    stops.push(f.id || f.tag + " " + f.what);
  }
  for (const want of ["As a table", "range", "over", "client", "rcode", "Follow", "name", "from", "type", "libc", "Explain", "word", "namespaces", "found-services", "next"])
    check(stops.some(s => s.includes(want)), `keyboard: never came to ${want}: ${stops}`);
  // Radio buttons, a button of a list, and the form.
  await page.locator("input[name=over]:checked").focus();
  await page.keyboard.press("ArrowRight");
  check(await page.locator("input[name=over]:checked").getAttribute("value") === "now", "keyboard: the arrow does not choose");
  await page.locator("#found-services button").nth(1).focus();
  const service = await page.evaluate(() => document.activeElement.firstChild.textContent);
  await page.keyboard.press("Enter");
  await page.locator("#records table").waitFor();
  await page.waitForTimeout(300);
  check((await focused()).what.startsWith(service), `keyboard: the focus is lost after a service was chosen: ${JSON.stringify(await focused())}`);
  await page.locator("#filter input[name=rcode]").focus();
  await page.keyboard.type("nope");
  page.away = true; // the browser complains about the 400
  await page.keyboard.press("Enter");
  await page.getByText('"NOPE" is not an rcode').waitFor();
  await page.close();
}

phase("keyboard");
// A name that points here is not this page's.
{
  const page = await browser.newPage();
  const reply = await page.goto(`http://evil.test:${port}/`);
  check(reply.status() === 421, `rebinding: ${reply.status()}`);
  await page.close();
}

// A Corefile that cannot be served, and a server that is gone.
{
  const page = await open({name: "failing", viewport: {width: 1280, height: 900}});
  check((await page.locator("#status").innerText()).includes("Ready"), "failing: not ready at first");
  await ask("break the Corefile");
  await page.getByText("The Corefile on disk is not served").waitFor();
  check((await page.locator("#reload").innerText()).includes('did you mean "loadbalance"'), "failing: the page does not say what is wrong with the Corefile");
  await axeOn(page, "failing");
  await shot(page, "failing");
  page.away = true;
  await ask("end the server");
  await page.getByText("The server does not answer").waitFor();
  await page.close();
}

await browser.close();
console.log("done");
process.exit(0);
