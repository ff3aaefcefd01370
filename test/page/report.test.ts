import { readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, expect, it } from "vitest";
import { Browser, noBrowser } from "../helpers/browser.ts";
import { notBuilt, outcomeOf, runBuilt } from "../helpers/built.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";

const OLDER = join(REPOSITORY, "test/fixtures/bundles/older");
const scratch = scratchDirectory("report");

describeUnless(notBuilt("cdh-inspect"), "cdh-inspect report", () => {
  it("writes a file that only its owner may read, or prints", async () => {
    const file = join(scratch, "report.html");
    const written = await runBuilt("cdh-inspect", ["report", join(OLDER, "ibm-v8.zip"), "-o", file]);
    expect(outcomeOf(written)).toBe("exit 0");
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const printed = await runBuilt("cdh-inspect", ["report", join(OLDER, "ibm-v8.zip")]);
    expect(printed.stdout).toBe(readFileSync(file, "utf8"));
    expect(printed.stdout).toContain("<title>SIGSEGV (null pointer) in threads+0x127c</title>");
    expect(printed.stdout).toContain("container 1 says hello");
    const json = await runBuilt("cdh-inspect", ["report", join(OLDER, "ibm-v8.zip"), "--format", "json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({ kind: "older", manifest: { signal: { name: "SIGSEGV" } } });
  });

  it("refuses a format that it does not know, and a place that it cannot write to", async () => {
    const bundle = join(OLDER, "ibm-v8.zip");
    const unknown = await runBuilt("cdh-inspect", ["report", bundle, "--format", "pdf"]);
    expect([unknown.exitCode, unknown.stderr]).toEqual([10, expect.stringContaining("html, text, json")]);
    const nowhere = await runBuilt("cdh-inspect", ["report", bundle, "-o", join(scratch, "missing/report.html")]);
    expect([nowhere.exitCode, nowhere.stderr]).toEqual([13, expect.stringContaining("cannot write")]);
  });
});

describeUnless(notBuilt("cdh-inspect") ?? noBrowser(), "the report in a browser", () => {
  let browser: Browser;
  beforeAll(() => {
    browser = Browser.start();
  });
  afterAll(() => browser[Symbol.asyncDispose]());

  it.each(["ibm-v8.zip", "ibm-v9-invalid-json.zip"])(
    "asks nobody for anything and breaks no policy: %s",
    async (name) => {
      const file = join(scratch, `${name}.html`);
      expect(outcomeOf(await runBuilt("cdh-inspect", ["report", join(OLDER, name), "-o", file]))).toBe("exit 0");
      const page = await browser.open();
      for (const options of [{}, { scheme: "dark" as const }, { width: 390 }]) {
        await page.look(options);
        await page.goto(pathToFileURL(file).href);
        // The style applies, so its hash is the policy's.
        expect(await page.evaluate("getComputedStyle(document.querySelector('dl')).display")).toBe("grid");
        expect(await page.evaluate("document.documentElement.scrollWidth <= innerWidth")).toBe(true);
      }
      expect(new Set(page.requests)).toEqual(new Set([pathToFileURL(file).href]));
      expect(page.complaints).toEqual([]);
    },
  );

  it("would notice a script: the policy refuses it, and that is seen", async () => {
    const file = join(scratch, "report.html");
    await runBuilt("cdh-inspect", ["report", join(OLDER, "ibm-v8.zip"), "-o", file]);
    const page = await browser.open();
    const html = readFileSync(file, "utf8").replace("<main>", "<main><script>document.title='taken'</script>");
    await page.goto(`data:text/html;base64,${Buffer.from(html).toString("base64")}`);
    expect(await page.evaluate("document.title")).toContain("SIGSEGV (null pointer) in threads+0x127c");
    expect(page.complaints.join("\n")).toContain("Content Security Policy");
  });
});
