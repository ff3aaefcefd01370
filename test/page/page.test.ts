import { afterAll, afterEach, beforeAll, expect, it } from "vitest";
import { Browser, noBrowser, type Page, type PageOptions } from "../helpers/browser.ts";
import { describeUnless } from "../helpers/skip.ts";
import { makeCrash, makeReport, startStandIn, type Behaviour } from "./stand-in.ts";

describeUnless(noBrowser(), "the page", () => {
  let browser: Browser;
  const closers: (() => void)[] = [];
  beforeAll(() => {
    browser = Browser.start();
  });
  afterAll(() => browser[Symbol.asyncDispose]());
  afterEach(() => {
    for (const close of closers.splice(0)) close();
  });

  /** Open the page on a server of its own; whatever it asks elsewhere or the policy refuses fails the test at its end. */
  async function open(
    behaviour: Partial<Behaviour> = {},
    { hash = "#/crashes", ...options }: PageOptions & { hash?: string } = {},
  ): Promise<{ page: Page; asked: string[]; behaviour: Behaviour; done(): void }> {
    const whole: Behaviour = {
      crashes: Array.from({ length: 60 }, (_, index) => makeCrash(index)),
      report: makeReport(),
      ...behaviour,
    };
    const server = await startStandIn(whole);
    closers.push(server.close);
    const page = await browser.open(options);
    await page.goto(`${server.url}${hash}`);
    const done = (): void => {
      expect(page.complaints).toEqual([]);
      const elsewhere = page.requests.filter((url) => !url.startsWith(server.url) && !url.startsWith("blob:"));
      expect(elsewhere).toEqual([]);
    };
    return { page, asked: server.asked, behaviour: whole, done };
  }

  const count = (text: string): string => `document.querySelector('.count')?.textContent === ${JSON.stringify(text)}`;

  it("lists crashes newest first, with a chart that also is a table", async () => {
    const { page, done } = await open();
    await page.until(count("60 crashes"));
    const times = await page.evaluate<string[]>(
      "[...document.querySelectorAll('td.time')].map((cell) => cell.textContent)",
    );
    expect(times.length).toBeGreaterThan(10);
    expect(times).toEqual(times.toSorted().toReversed());
    expect(await page.evaluate("document.querySelector('svg.chart').getAttribute('aria-label')")).toMatch(
      /^Crashes .*; most: \d+ at 2026-11-/,
    );
    const sum = await page.evaluate(
      "[...document.querySelectorAll('figure td:nth-child(2)')].reduce((sum, cell) => sum + Number(cell.textContent), 0)",
    );
    expect(sum).toBe(60);
    const places = await page.evaluate<string[]>(
      "[...document.querySelectorAll('td.place')].map((cell) => cell.textContent)",
    );
    expect(places).toContainEqual(expect.stringMatching(/^pay_\w+\(\) at pay\.c:\d+ ← handle\(\) ← main\(\)$/));
    expect(places).toContain("–");
    done();
  });

  it("filters, and the address keeps what was asked for", async () => {
    const { page, done } = await open();
    await page.until(count("60 crashes"));
    await page.press("/");
    await page.type("mailer");
    await page.until(count("12 of 60 crashes"));
    expect(await page.evaluate("location.hash")).toBe("#/crashes?search=mailer");
    await page.press("Escape");
    await page.until(count("60 crashes"));
    await page.evaluate(
      "{ const field = document.getElementById('signal'); field.value = 'SIGBUS'; field.dispatchEvent(new Event('input')); }",
    );
    await page.until(count("12 of 60 crashes"));
    await page.evaluate("location.hash = '#/crashes?search=nothing-is-called-so'");
    await page.until("document.querySelector('.panel h1')?.textContent === 'None is like that'");
    await page.evaluate("document.querySelector('.panel button').click()");
    await page.until(count("60 crashes"));
    done();
  });

  it("is driven by keys alone: down, open, back to the same row, help", async () => {
    const { page, done } = await open();
    await page.until(count("60 crashes"));
    const focused = (): Promise<string> => page.evaluate("document.activeElement.textContent");
    for (const key of ["j", "j", "j", "k"]) await page.press(key);
    const second = await page.evaluate("document.querySelectorAll('td.time')[1].textContent");
    expect(await focused()).toBe(second);
    await page.press("Enter");
    await page.until("document.querySelector('.crash h1')");
    expect(await focused()).toMatch(/^SIGSEGV \(null pointer\) in Checkout::total\(\) at cart\.cc:118/);
    await page.press("Escape");
    await page.until("document.activeElement.closest('td.time')");
    expect(await focused()).toBe(second);
    await page.press("G");
    await page.until("document.activeElement.closest('tr')?.getAttribute('aria-rowindex') === '61'");
    await page.press("?");
    await page.until("document.getElementById('help').open");
    await page.press("Escape");
    await page.until("!document.getElementById('help').open");
    done();
  });

  it("stays fluid with 10,000 rows", async () => {
    const crashes = Array.from({ length: 10_000 }, (_, index) => makeCrash(index));
    const { page, behaviour, done } = await open({ crashes: crashes.slice(0, 200) });
    const measure = (): Promise<{ rows: number; medianMs: number }> =>
      page.evaluate(`(async () => {
        const times = [];
        let rows = 0;
        for (let step = 0; step < 40; step += 1) {
          const start = performance.now();
          scrollTo(0, (step * 7919 * 36) % document.documentElement.scrollHeight);
          dispatchEvent(new Event("scroll"));
          document.body.offsetHeight;
          times.push(performance.now() - start);
          rows = Math.max(rows, document.querySelectorAll(".crashes tbody tr").length);
          await new Promise((resolve) => requestAnimationFrame(resolve));
        }
        return { rows, medianMs: times.toSorted((left, right) => left - right)[20] };
      })()`);
    await page.until(count("200 crashes"));
    const few = await measure();
    behaviour.crashes = crashes;
    await page.press("r");
    await page.until(count("10,000 crashes"), 50_000);
    const many = await measure();
    // Only what is in sight is drawn, so that fifty times the rows cost the same; the rest is for a busy machine.
    expect(many.rows).toBeLessThan(80);
    expect(many.medianMs).toBeLessThan(few.medianMs * 5 + 20);
    await page.press("G");
    await page.until("document.activeElement.closest('tr')?.getAttribute('aria-rowindex') === '10001'");
    done();
  }, 120_000);

  it("tells everything about a crash, and a log's markup stays text", async () => {
    const { page, done } = await open({}, { hash: "#/payments/c000003" });
    await page.until("document.querySelector('.crash')");
    const text = await page.evaluate<string>("document.querySelector('.crash').innerText");
    for (const part of [
      "SIGSEGV (null pointer) in Checkout::total() at cart.cc:118 ← <script>alert(1)</script>() ← main()",
      "checkout died of SIGSEGV in shop/checkout-7d9f4-x2",
      "#0   Checkout::total(Cart const&)  /src/cart.cc:118",
      "139\t\tepoll_wait ← loop",
      "access to address 0x18, not mapped (a null pointer)",
      "Thread 48216 crashed, 139 more threads",
      "checkout+0x1f030",
      "<script>alert(document.domain)</script> \\x1b[31mred",
      "no answer within 5 s",
      "Threads (140)",
      "libssl.so.3",
      "kubectl coredump get -n payments c000003",
    ])
      expect(text).toContain(part);
    expect(await page.evaluate("document.querySelectorAll('main script').length")).toBe(0);
    expect(await page.evaluate("document.title")).toContain("SIGSEGV (null pointer) in Checkout::total()");
    const rows = "document.querySelectorAll('.crash section:nth-last-of-type(2) .scroll:last-child tbody tr').length";
    expect(await page.evaluate(rows)).toBe(100);
    await page.evaluate(
      "[...document.querySelectorAll('button')].find((one) => one.textContent === 'Show 40 more').click()",
    );
    expect(await page.evaluate(rows)).toBe(140);
    done();
  });

  it.each([{ width: 1280 }, { width: 390, height: 844 }, { scheme: "dark" as const }])(
    "fits into %j without scrolling sideways, with colours that can be read",
    async (options) => {
      const { page, done } = await open({}, options);
      await page.until(count("60 crashes"));
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      // WCAG's contrast of text on the page, by its own formula.
      const contrast = await page.evaluate<number>(`(() => {
        const light = (colour) => {
          const [r, g, b] = colour.match(/[\\d.]+/g).map((one) => one / 255).map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
          return 0.2126 * r + 0.7152 * g + 0.0722 * b;
        };
        const paper = light(getComputedStyle(document.body).backgroundColor);
        return Math.min(...["td.time a", "td.signal", "td.state", ".count", "figcaption"].map((selector) => {
          const ink = light(getComputedStyle(document.querySelector(selector)).color);
          return (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
        }));
      })()`);
      expect(contrast).toBeGreaterThan(4.5);
      await page.evaluate("location.hash = '#/payments/c000003'");
      await page.until("document.querySelector('.crash')");
      expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      done();
    },
  );

  it("asks for a token, keeps it out of the address, and forgets it", async () => {
    const { page, asked, done } = await open({ tokens: ["right-token"] });
    await page.until("document.querySelector('input[type=password]')");
    await page.type("wrong-token");
    await page.press("Enter");
    await page.until("document.querySelector('[role=alert]')?.textContent.includes('does not accept')");
    await page.type("right-token");
    await page.press("Enter");
    await page.until(count("60 crashes"));
    expect(asked.join("\n")).not.toContain("right-token");
    expect(
      await page.evaluate(
        "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href])",
      ),
    ).not.toContain("right-token");
    await page.evaluate("document.getElementById('sign-out').click()");
    await page.until("document.querySelector('input[type=password]')");
    done();
  });

  it("downloads with a token by a link of the server, or through memory where there is none", async () => {
    const { page, asked, behaviour, done } = await open({ tokens: ["t"] }, { hash: "#/payments/c000003" });
    await page.until("document.querySelector('input[type=password]')");
    await page.type("t");
    await page.press("Enter");
    await page.until("document.querySelector('.actions button')");
    const press = (words: string): Promise<unknown> =>
      page.evaluate(
        `[...document.querySelectorAll('button')].find((one) => one.textContent.startsWith('${words}')).click()`,
      );
    const path = "/apis/core-dump-handler.dev/v1alpha1/namespaces/payments/coredumps/c000003";
    await press("Download bundle");
    await expect.poll(() => asked).toContain(`GET ${path}/bundle?ticket=t`);
    expect(asked).toContain(`POST ${path}/link`);
    behaviour.noLinks = true;
    await press("Download bundle");
    await expect.poll(() => asked).toContain(`GET ${path}/bundle`);
    // The core is too large for memory: the page says what to do instead.
    await press("Download core");
    await page.until(
      "document.getElementById('status').textContent.includes('kubectl coredump get -n payments c000003')",
    );
    done();
  });

  it("lets somebody in who may see one namespace only", async () => {
    const { page, done } = await open({ onlyNamespaces: true });
    await page.until("document.querySelector('.notice')?.textContent.includes('name one above')");
    expect(await page.evaluate("document.activeElement.id")).toBe("namespace");
    await page.type("payments");
    await page.until("document.querySelectorAll('td.where').length > 5");
    const places = await page.evaluate<string[]>(
      "[...document.querySelectorAll('td.where')].map((cell) => cell.textContent)",
    );
    expect(places.every((place) => place.startsWith("payments/"))).toBe(true);
    done();
  });

  it("a name that is typed letter by letter is asked for when the hand rests, and a refusal leaves the field", async () => {
    const { page, asked, done } = await open({ onlyNamespaces: true });
    await page.until("document.querySelector('.notice')?.textContent.includes('name one above')");
    for (const letter of "pay") await page.type(letter);
    await page.until("document.querySelector('.notice').textContent.includes('crashes of pay: name another')");
    for (const letter of "ments") await page.type(letter);
    await page.until("document.querySelectorAll('td.where').length > 5");
    expect(await page.evaluate("document.activeElement.id")).toBe("namespace");
    expect(await page.evaluate("document.getElementById('namespace').value")).toBe("payments");
    expect(asked.filter((one) => one.includes("/namespaces/")).length).toBeLessThan(5);
    done();
  });

  it("says plainly that 20,000 of 100,000 are shown, and asks the server for what is wanted of the others", async () => {
    const crashes = Array.from({ length: 100_000 }, (_, index) => makeCrash(index));
    const { page, asked, done } = await open({ crashes });
    const lists = (): string[] => asked.filter((one) => one.includes("/apis/"));
    await page.until("document.querySelector('.count')?.textContent === '20,000 crashes'", 50_000);
    const notice = "document.querySelector('.notice').textContent";
    expect(await page.evaluate(notice)).toMatch(
      /^100,000 crashes are there\. These are the newest 20,000, back to 2026-11-\d\d \d\d:\d\d\. .*the search looks through these only\.$/,
    );
    const choose = (id: string, value: string): Promise<unknown> =>
      page.evaluate(
        `{ const field = document.getElementById('${id}'); field.value = '${value}'; field.dispatchEvent(new Event('input')); }`,
      );
    // While the server is asked, nobody is told that there is none; who changes his mind has what was there.
    await choose("namespace", "nobody");
    const none = "document.querySelector('.panel') !== null";
    expect(await page.evaluate(none)).toBe(false);
    await choose("namespace", "");
    expect(await page.evaluate("document.querySelector('.count').textContent")).toBe("20,000 crashes");
    expect(lists().some((one) => one.includes("nobody"))).toBe(false);
    // What is not among the newest 20,000 is found all the same.
    await choose("signal", "SIGSEGV");
    await page.until(`${notice}.startsWith('More than 20,000 crashes are there')`, 50_000);
    await choose("signal", "SIGBUS");
    await page.until(
      "document.querySelector('.notice').hidden && document.querySelector('.count').textContent === '20,000 crashes'",
      50_000,
    );
    await choose("namespace", "core-dump-handler-host");
    await page.until("document.querySelector('.count').textContent === '2,857 of 20,000 crashes'");
    // All of that signal is here: narrower is not asked for.
    const before = lists().length;
    await choose("time", "30d");
    await page.until("location.hash.includes('time=30d')");
    expect(lists().slice(before)).toEqual([]);
    await choose("time", "");
    await choose("signal", "");
    await page.until("document.querySelector('.count').textContent === '14,285 crashes'", 50_000);
    expect(lists().at(-1)).toMatch(/namespaces\/core-dump-handler-host\/coredumps/);
    done();
  }, 120_000);

  it("a token that has expired is asked for again, and nothing of the one before stays", async () => {
    const { page, behaviour, done } = await open({ tokens: ["first"] });
    await page.until("document.querySelector('input[type=password]')");
    await page.type("first");
    await page.press("Enter");
    await page.until(count("60 crashes"));
    behaviour.tokens = ["second"];
    await page.press("r");
    await page.until("document.querySelector('[role=alert]')?.textContent.includes('does not accept')");
    expect(await page.evaluate("document.activeElement.type")).toBe("password");
    behaviour.crashes = behaviour.crashes.slice(0, 10);
    await page.type("second");
    await page.press("Enter");
    await page.until(count("10 crashes"));
    done();
  });

  it("a store that goes down while filters change leaves what was there", async () => {
    const crashes = Array.from({ length: 60 }, (_, index) => makeCrash(index));
    const { page, behaviour, done } = await open({ crashes }, { hash: "#/?namespace=shop" });
    await page.until("document.querySelector('.count')?.textContent.endsWith(' crashes')");
    const rows = await page.evaluate("document.querySelector('.count').textContent");
    behaviour.fail = { status: 503, message: "the store cannot serve it now" };
    await page.evaluate(
      "{ const field = document.getElementById('namespace'); field.value = ''; field.dispatchEvent(new Event('input')); }",
    );
    await page.until(
      "document.querySelector('.notice').textContent === 'the store cannot serve it now. This is what was loaded before.'",
    );
    expect(await page.evaluate("document.querySelector('.count').textContent")).toBe(rows);
    done();
  });

  it.each([
    [{ crashes: [] }, "No crash"],
    [{ fail: { status: 503, message: "the store does not answer: timeout" } }, "The store cannot be read now"],
    [{ fail: { status: 500, message: "oops" } }, "The server refuses"],
  ] as const)("says how things stand: %j", async (behaviour, title) => {
    const { page, done } = await open(behaviour as Partial<Behaviour>);
    await page.until("document.querySelector('.panel h1') && !document.body.innerText.includes('Loading')");
    const text = await page.evaluate<string>("document.querySelector('main').innerText");
    expect(text).toContain(title);
    expect(text).toContain("fail" in behaviour ? behaviour.fail.message : "Nothing has crashed here");
    done();
  });

  it("tries again when the server is back, and says when a list is old or a crash is gone", async () => {
    const { page, behaviour, done } = await open({ fail: { status: 503, message: "no store" } });
    await page.until("document.querySelector('.panel button')");
    delete behaviour.fail;
    behaviour.warning = "the store does not answer; this is the list of 11:58";
    await page.evaluate("document.querySelector('.panel button').click()");
    await page.until(count("60 crashes"));
    expect(await page.evaluate("document.querySelector('.notice').textContent")).toContain("list of 11:58");
    await page.evaluate("location.hash = '#/payments/gone'");
    await page.until("document.querySelector('.panel h1')?.textContent === 'There is no such crash'");
    done();
  });
});
