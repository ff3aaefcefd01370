import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { sha256 } from "../api/workbench.ts";
import { Browser, noBrowser } from "../helpers/browser.ts";
import { notBuilt, outcomeOf, runPath, type BuiltResult } from "../helpers/built.ts";
import { clusterUnavailable } from "../helpers/real-cluster.ts";
import { REPOSITORY } from "../helpers/repository.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless, skipAloud } from "../helpers/skip.ts";
import { noAddress, startChain, type RealChain } from "./real-chain.ts";

const directory = scratchDirectory("plugin-chain");
const PLUGIN = join(REPOSITORY, "dist/bin/kubectl-coredump");

describeUnless(
  notBuilt("cdh-api", "cdh-inspect") ?? clusterUnavailable(),
  "through a real kube-apiserver to cdh-api",
  () => {
    let chain: RealChain;
    beforeAll(async () => {
      chain = await startChain(directory);
    }, 300_000);
    afterAll(() => chain?.[Symbol.asyncDispose]());

    const plugin = (kubeconfig: string, ...args: string[]): Promise<BuiltResult> =>
      runPath(PLUGIN, args, {
        cwd: directory,
        env: { HOME: directory, KUBECONFIG: kubeconfig, PATH: `${dirname(PLUGIN)}:${process.env["PATH"] ?? ""}` },
      });

    it("a developer lists, shows and downloads the crashes of the own namespace, and of no other", async () => {
      const { developer, dumps } = chain;
      const listed = await plugin(developer, "ls", "-q");
      expect(listed.stdout.trim().split("\n")).toEqual(dumps.toReversed().map(({ name }) => `kube://shop/${name}`));
      const shown = await plugin(developer, "show", "checkout");
      expect(outcomeOf(shown)).toBe("exit 0");
      expect(shown.stdout).toContain("access to address 0x18, not mapped (a null pointer)");
      expect(outcomeOf(await plugin(developer, "get", "-1", "-o", "newest.zip"))).toBe("exit 0");
      expect(sha256(readFileSync(join(directory, "newest.zip")))).toBe(sha256(dumps[1]?.zip ?? Buffer.alloc(0)));
      expect(outcomeOf(await plugin(developer, "get", "-d", "-2", "-o", "older.core"))).toBe("exit 0");
      expect(sha256(readFileSync(join(directory, "older.core")))).toBe(sha256(dumps[0]?.core ?? Buffer.alloc(0)));
      const other = await plugin(developer, "ls", "-n", "payments");
      expect([other.exitCode, other.stderr]).toEqual([15, expect.stringContaining("forbidden")]);
    });

    it("status asks the pods through the API server, and tells a developer which rights are missing", async (context) => {
      const reason = noAddress();
      if (reason !== undefined) skipAloud(context, reason);
      const all = await plugin(chain.cluster.kubeconfig, "status");
      expect(outcomeOf(all)).toBe("exit 0");
      expect(all.stdout).toContain("2 of 2 nodes capture");
      expect(all.stdout).toMatch(/^worker-2 +ready +yes +0\.1\.0 +1 +2 \(2\.0 MiB\) +5m 00s +0 +answers +1\dm /m);
      const few = await plugin(chain.developer, "status");
      expect([few.exitCode, few.stderr]).toEqual([15, expect.stringContaining('cannot list resource "pods"')]);
    });

    it("the page shows the same to the same token, and downloads", async (context) => {
      const reason = noBrowser();
      if (reason !== undefined) skipAloud(context, reason);
      const token = await chain.token();
      await using browser = Browser.start();
      const page = await browser.open();
      // The first view is of bugs; this one lists crashes.
      await page.goto(`${chain.apiUrl}#/crashes`);
      await page.until("document.querySelector('input[type=password]')");
      await page.type(token);
      await page.press("Enter");
      await page.until("document.querySelector('.notice')?.textContent.includes('name one above')");
      await page.type("shop");
      await page.until("document.querySelectorAll('td.where').length === 2");
      await page.press("Enter");
      await page.press("Enter");
      await page.until("document.querySelector('.crash h1')");
      expect(await page.evaluate("document.querySelector('.crash h1').textContent")).toBe(
        "checkout died of SIGSEGV in shop/checkout-7d9f4-x2",
      );
      // By the link that the server gives, as the browser itself would follow it: without the token.
      await page.evaluate(
        "{ window.links = []; document.addEventListener('click', (event) => { if (event.target.download) { window.links.push(event.target.href); event.preventDefault(); } }, true); }",
      );
      await page.evaluate("document.querySelector('.actions button').click()");
      await page.until("window.links.length === 1");
      const bytes = await page.evaluate<number>(
        "fetch(window.links[0]).then((answer) => answer.arrayBuffer()).then((all) => all.byteLength)",
      );
      expect(bytes).toBe(chain.dumps[1]?.zip.length);
      expect(page.complaints).toEqual([]);
      expect(page.requests.filter((url) => !url.startsWith(chain.apiUrl))).toEqual([]);
    });
  },
);
