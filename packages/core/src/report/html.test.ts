import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { Manifest } from "../bundle/manifest.ts";
import { SeededRandom } from "../testing/random.ts";
import { makeManifest, makeTinyCore } from "../testing/sample-bundle.ts";
import { escapeHtml, renderHtml, reportPolicy } from "./html.ts";
import { placeThreads, reportOf, type Report } from "./report.ts";

function sample(changes: Partial<Manifest> = {}): Report {
  const manifest = makeManifest(makeTinyCore(), 1000, {
    threads: [
      { tid: 8, registers: { pc: "0x2010", sp: "0x1" } },
      { tid: 7, crashed: true, registers: { pc: "0x1010", rip: "0x1010", rax: "0x0" } },
    ],
    modules: [
      { path: "/usr/bin/server", start: "0x1000", end: "0x1800", buildId: "ab12" },
      { path: "/lib/libc.so.6", start: "0x2000", end: "0x3000" },
    ],
    problems: [{ step: "crictl", code: "CDH_CRICTL_TIMEOUT", detail: "5 s were not enough" }],
    ...changes,
  });
  return reportOf(manifest, {
    bundle: "s3://cores/payments/crash.zip",
    bundleBytes: 4096,
    logs: [{ entry: "x-0.log", container: "app", sizeBytes: 20, lines: ["first", "\tat line 2 \u001b[31mred"] }],
    entries: [{ name: "x.core.zst", role: "core", sizeBytes: 4096, storedBytes: 1000 }],
  });
}

describe("renderHtml", () => {
  it("tells what, where, registers, threads, modules, log and problems", () => {
    const html = renderHtml(sample());
    for (const text of [
      "<title>SIGSEGV (null pointer) in server+0x10</title>",
      "server died of SIGSEGV in payments/worker",
      "access to address 0x0, not mapped (a null pointer)",
      "Thread 7 crashed, 1 more thread",
      "<h2>Threads (2)</h2>",
      "libc.so.6+0x10",
      "<h2>Modules (2)</h2>",
      "ab12",
      "first\n\tat line 2 \\x1b[31mred",
      "CDH_CRICTL_TIMEOUT",
      "x.core.zst",
    ])
      expect(html).toContain(text);
  });

  it("shows the crashed thread's stack, and which threads did the same", () => {
    const stack = (...names: string[]) => ({
      frames: names.map((name, index) => ({ pc: `0x100${index}`, function: name })),
      end: { kind: "outermost" },
    });
    const threads = [
      { tid: 7, crashed: true, registers: {}, stack: stack("pay<int>", "main") },
      ...[8, 9].map((tid) => ({ tid, name: "worker", registers: {}, stack: stack("epoll_wait", "loop") })),
    ];
    const html = renderHtml(sample({ threads }));
    for (const text of [
      "<h1>SIGSEGV (null pointer) in pay() ← main()</h1>",
      "#0   pay&#60;int&#62;",
      "epoll_wait ← loop",
    ])
      expect(html).toContain(text);
    expect(html).toContain('<td class="number">2</td><td class="mono">worker</td>');
  });

  it("allows its own style and nothing else, and asks nobody for anything", () => {
    const html = renderHtml(sample());
    const style = /<style>([^]*)<\/style>/.exec(html)?.[1] ?? "";
    expect(reportPolicy()).toContain(`'sha256-${createHash("sha256").update(style).digest("base64")}'`);
    expect(html).toContain(reportPolicy());
    expect(html).not.toMatch(/<script|<link|<img|<iframe|\bsrc=|\bhref=|@import|url\(|\bstyle=| on[a-z]+=/i);
  });

  it("leaves out what is not known", () => {
    const { threads, modules, ...rest } = sample({ problems: [] }).manifest;
    expect([threads?.length, modules?.length]).toEqual([2, 2]);
    const html = renderHtml(reportOf(rest, { bundle: "x.zip", bundleBytes: 1 }));
    for (const title of ["Threads", "Modules", "Problems", "Log", "In the bundle"])
      expect(html).not.toContain(`<h2>${title}`);
  });

  it("cuts tables that are too long and says so", () => {
    const modules = Array.from({ length: 1500 }, (_, index) => ({ path: `/m${index}`, start: "0x1", end: "0x2" }));
    const html = renderHtml(sample({ modules }));
    expect(html).toContain("<h2>Modules (1500)</h2>");
    expect(html).toContain("and 500 more");
    expect(html).not.toContain("/m1000<");
  });

  it("lets no text of a crash become markup, whatever it is", () => {
    const random = new SeededRandom(1);
    const pieces = [
      "<script>alert(1)</script>",
      '"',
      "'",
      "&lt;",
      "-->",
      "</pre>",
      "</style>",
      "\u0000",
      "\u202e",
      "]]>",
    ];
    const markupOf = (html: string): string => html.replace(/>[^<]*</g, "><");
    const spoil = (value: unknown, suffix: string, key = ""): unknown => {
      if (typeof value === "string") return /^0x|crashedAt/.test(`${value}${key}`) ? value : `${value}${suffix}`;
      if (Array.isArray(value)) return value.map((one) => spoil(one, suffix));
      if (typeof value === "object" && value !== null)
        return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, spoil(one, suffix, name)]));
      return value;
    };
    const harmless = markupOf(renderHtml(spoil(sample(), " x") as Report));
    for (let round = 0; round < 50; round += 1) {
      const hostile = Array.from({ length: 4 }, () => random.pick(pieces)).join("");
      const html = renderHtml(spoil(sample(), hostile) as Report);
      // What is left without texts is the page's own markup, whatever the texts were.
      expect(markupOf(html)).toBe(harmless);
      expect(html).not.toContain("\u0000");
      expect(html).not.toContain("\u202e");
    }
    expect(escapeHtml(`<a href="x" id='y'>&`)).toBe("&#60;a href=&#34;x&#34; id=&#39;y&#39;&#62;&#38;");
  });
});

describe("placeThreads", () => {
  it("puts the crashed one first and says where each was", () => {
    expect(placeThreads(sample().manifest)).toEqual([
      { tid: 7, crashed: true, pc: "0x1010", place: "server+0x10" },
      { tid: 8, crashed: false, pc: "0x2010", place: "libc.so.6+0x10" },
    ]);
  });
});
