import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { Browser, noBrowser, type Page, type PageOptions } from "../helpers/browser.ts";
import { describeUnless } from "../helpers/skip.ts";
import { makeBug, makeCrash, makeReport, startStandIn, type Behaviour } from "./stand-in.ts";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

describeUnless(noBrowser(), "the page's first view", () => {
  let browser: Browser;
  const closers: (() => void)[] = [];
  beforeAll(() => {
    browser = Browser.start();
  });
  afterAll(() => browser[Symbol.asyncDispose]());
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });

  async function open(
    behaviour: Partial<Behaviour> = {},
    { hash = "", ...options }: PageOptions & { hash?: string } = {},
  ): Promise<{ page: Page; asked: string[]; behaviour: Behaviour; done(): void }> {
    const group = { "core-dump-handler.dev/group": "bug-0000000002" };
    const whole: Behaviour = {
      crashes: Array.from({ length: 60 }, (_, index) => {
        const crash = makeCrash(index);
        if (index % 10 === 0) Object.assign(crash["metadata"] as object, { labels: group, namespace: "shop" });
        return crash;
      }),
      bugs: Array.from({ length: 12 }, (_, index) => makeBug(index)),
      report: makeReport(),
      ...behaviour,
    };
    const server = await startStandIn(whole);
    closers.push(server.close);
    const page = await browser.open(options);
    await page.goto(`${server.url}${hash}`);
    return { page, asked: server.asked, behaviour: whole, done: () => expect(page.complaints).toEqual([]) };
  }

  const count = (text: string): string => `document.querySelector('.count')?.textContent === ${JSON.stringify(text)}`;
  const texts = (page: Page, selector: string): Promise<string[]> =>
    page.evaluate(`[...document.querySelectorAll('${selector}')].map((cell) => cell.textContent)`);
  const press = (page: Page, words: string): Promise<unknown> =>
    page.evaluate(
      `[...document.querySelectorAll('button')].find((one) => one.textContent.startsWith('${words}')).click()`,
    );
  /** What axe finds wrong, rule by rule. @see https://github.com/dequelabs/axe-core */
  const violations = async (page: Page): Promise<string[]> => {
    await page.evaluate(`${AXE}; undefined`);
    return page.evaluate(
      "axe.run(document).then(({ violations }) => violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(' ')}`))",
    );
  };

  it("is one line for each bug: those that came back and new ones first, settled ones not at all", async () => {
    const { page, done } = await open();
    await page.until(count("8 of 12 bugs; 4 resolved or muted"));
    const phases = await texts(page, "td.phase");
    expect(phases).toEqual(["regressed", "regressed", "new", "new", "open", "open", "open", "open"]);
    expect(await texts(page, "td.what a")).toContain("pay_2 | <b>main</b> @ search");
    const label = "document.querySelector('td.spark svg').getAttribute('aria-label')";
    expect(await page.evaluate(label)).toMatch(/^\d+ in 30 days; most: \d+ on 2026-11-20$/);
    expect(await page.evaluate("document.getElementById('bugs-tab').hasAttribute('data-here')")).toBe(true);
    done();
  });

  it("filters by state, namespace and words, and the address keeps what was asked for", async () => {
    const { page, done } = await open();
    await page.until("document.querySelectorAll('td.phase').length === 8");
    await page.press("/");
    await page.type("search:1.9");
    await page.until("document.querySelectorAll('td.phase').length === 2");
    expect(await page.evaluate("location.hash")).toBe("#/bugs?search=search%3A1.9");
    await page.press("Escape");
    const choose = (id: string, value: string): Promise<unknown> =>
      page.evaluate(
        `{ const field = document.getElementById('${id}'); field.value = '${value}'; field.dispatchEvent(new Event('input')); }`,
      );
    await choose("phase", "muted");
    await page.until("document.querySelectorAll('td.phase').length === 2");
    expect(new Set(await texts(page, "td.phase"))).toEqual(new Set(["muted"]));
    await choose("phase", "all");
    await page.until(count("12 bugs"));
    await choose("namespace", "payments");
    await page.until(count("6 of 12 bugs"));
    expect(await page.evaluate("location.hash")).toBe("#/bugs?namespace=payments&phase=all");
    done();
  });

  it("one step leads to a bug's crashes, versions and nodes, by keys too, and back to its line", async () => {
    const { page, asked, done } = await open();
    await page.until("document.querySelectorAll('td.phase').length === 8");
    await page.press("j");
    const first = await page.evaluate<string>("document.activeElement.textContent");
    await page.press("Enter");
    await page.until("document.querySelector('.crash h1')");
    expect(await page.evaluate("document.activeElement.textContent")).toBe(first);
    const shown = await page.evaluate<string>("document.querySelector('.crash').innerText");
    for (const part of ["registry.example/search:1.8", "worker-4", "SIGSEGV (null pointer) in pay_2() ← main()"])
      expect(shown).toContain(part);
    expect(asked.findLast((path) => path.includes("/coredumps"))).toMatch(
      /namespaces\/shop\/coredumps\?.*group%3Dbug-0000000002/,
    );
    await page.evaluate(
      "[...document.querySelectorAll('a')].find((one) => one.textContent.startsWith('Its ')).click()",
    );
    await page.until("location.hash === '#/crashes?namespace=shop&group=bug-0000000002'");
    await page.until(count("6 crashes"));
    await page.evaluate("history.back()");
    await page.until("document.querySelector('.crash h1')");
    await page.press("Escape");
    await page.until("document.activeElement.closest('td.what')");
    expect(await page.evaluate("document.activeElement.textContent")).toBe(first);
    done();
  });

  it("a bug of which no crash is left is shown, and leads to none", async () => {
    const gone = { newest: undefined, newestWhole: undefined, summary: undefined, wholeCores: 0, nodes: [], days: [] };
    const behaviour = { bugs: [makeBug(2, { status: gone })], crashes: [] };
    const { page, done } = await open(behaviour, { hash: "#/shop/bug-0000000002" });
    await page.until("document.querySelector('.crash h1')");
    const shown = await page.evaluate<string>("document.querySelector('.crash').innerText");
    expect(shown).toContain("None of its crashes is in the store any more");
    expect(shown).not.toMatch(/undefined|NaN/);
    expect(await texts(page, ".crash a.button")).toEqual([]);
    expect(await violations(page)).toEqual([]);
    await page.evaluate("location.hash = '#/'");
    await page.until("document.querySelector('td.what') !== null");
    done();
  });

  it("who may says what is resolved, muted, open; who may not is told so", async () => {
    const { page, behaviour, asked, done } = await open({}, { hash: "#/shop/bug-0000000002" });
    await page.until("document.querySelector('.crash h1')");
    await page.evaluate("document.getElementById('resolved-in').value = '1.10'");
    await press(page, "Resolve");
    await page.until("document.querySelector('.crash .badge').textContent === 'resolved'");
    expect(asked).toContain("PATCH /apis/core-dump-handler.dev/v1alpha1/namespaces/shop/crashgroups/bug-0000000002");
    expect(await page.evaluate("document.getElementById('resolved-in').value")).toBe("1.10");
    expect(await page.evaluate("document.getElementById('status').textContent")).toBe(
      "bug-0000000002 is resolved now.",
    );
    behaviour.noPatches = true;
    await press(page, "Mute");
    await page.until("document.getElementById('status').textContent.startsWith('You may not change it')");
    // The list knows it, without being loaded again by hand.
    await page.evaluate("location.hash = '#/'");
    await page.until(count("7 of 12 bugs; 5 resolved or muted"));
    done();
  });

  it("lets somebody in who may see one namespace only", async () => {
    const { page, done } = await open({ onlyNamespaces: true });
    await page.until("document.querySelector('.notice')?.textContent.includes('name one above')");
    expect(await page.evaluate("document.activeElement.id")).toBe("namespace");
    await page.type("payments");
    await page.until(count("4 of 6 bugs; 2 resolved or muted"));
    done();
  });

  it.each([
    [{ bugs: [] }, "No crash"],
    [{ fail: { status: 503, message: "the store does not answer: timeout" } }, "The store cannot be read now"],
  ] as const)("says how things stand: %j", async (behaviour, title) => {
    const until = Promise.withResolvers<void>();
    const { page, done } = await open({ ...behaviour, until: until.promise } as Partial<Behaviour>);
    // Nothing is known yet, so nothing is said: no answer must not look like "No crash".
    await page.until("document.querySelector('.bugs')");
    expect(await page.evaluate<string>("document.querySelector('main').innerText")).not.toContain("No crash");
    until.resolve();
    await page.until("document.querySelector('.panel h1')");
    expect(await page.evaluate<string>("document.querySelector('main').innerText")).toContain(title);
    done();
  });

  it("takes 5,000 bugs, and says that there are more", async () => {
    const { page, done } = await open({ bugs: Array.from({ length: 6000 }, (_, index) => makeBug(index)) });
    await page.until("document.querySelector('.notice')?.textContent.startsWith('More bugs are there')", 50_000);
    expect(await page.evaluate("document.querySelectorAll('.bugs tbody tr').length")).toBeLessThan(80);
    done();
  }, 60_000);

  it.each([
    ["", "light", 1280],
    ["", "dark", 1280],
    ["", "light", 390],
    ["#/shop/bug-0000000002", "light", 1280],
    ["#/shop/bug-0000000002", "dark", 390],
    ["#/crashes", "light", 1280],
  ] as const)("axe finds nothing wrong: %s, %s, %d wide", async (hash, scheme, width) => {
    const { page } = await open({}, { hash, scheme, width });
    await page.until("document.querySelector('td') !== null");
    expect(await violations(page)).toEqual([]);
  });
});
