import { describe, expect, it } from "vitest";
import { CdhError } from "../base/errors.ts";
import { modulesToAsk, tellOpensWith, type KeptParts, type OpensWith } from "../debug-files/opens-with.ts";
import { opensWithText, shownOf } from "./opening.ts";

const id = (digit: string): string => digit.repeat(40);
const module = (path: string, buildId?: string): { path: string; start: string; end: string; buildId?: string } => ({
  path,
  start: "0x1000",
  end: "0x2000",
  ...(buildId === undefined ? {} : { buildId }),
});
const THREADS = [
  {
    tid: 1,
    crashed: true,
    registers: {},
    stack: { frames: [{ pc: "0x1", module: 2 }], end: { kind: "outermost" } },
  },
];
const MODULES = [
  module("/lib/libc.so.6", id("a")),
  module("/app/server", id("B")),
  module("/lib/libshop.so", id("c")),
  module("/lib/none.so"),
  module("[vdso]", id("d")),
  module("/lib/libc.so.6", id("a")),
];
const crash = { modules: MODULES, threads: THREADS, process: { exe: "/app/server" } };
const both: KeptParts = { executable: true, debuginfo: true };
const none: KeptParts = { executable: false, debuginfo: false };

describe("the files of a crash that a store is asked for", () => {
  it("are the program, what crashed, then the others, each once", () => {
    expect(modulesToAsk(crash).modules).toEqual([
      { path: "/app/server", buildId: id("b") },
      { path: "/lib/libshop.so", buildId: id("c") },
      { path: "/lib/libc.so.6", buildId: id("a") },
      { path: "/lib/none.so" },
    ]);
  });

  it("are bounded, and the others are counted", () => {
    const modules = Array.from({ length: 5000 }, (_, n) => module(`/lib/${n}.so`, n.toString(16).padStart(40, "0")));
    const asked = modulesToAsk({ modules, threads: [], process: {} });
    expect(asked.modules).toHaveLength(64);
    expect(asked.notAsked).toBe(5000 - 64);
  });

  it("are nothing that a build-id in a bundle makes of a path", () => {
    const asked = modulesToAsk({ modules: [module("/x", "../../secret")], threads: [], process: {} });
    expect(asked.modules).toEqual([{ path: "/x" }]);
  });
});

describe("with what a debugger opens a crash", () => {
  const asked = modulesToAsk(crash);
  const tell = (parts: Record<string, KeptParts>): Promise<OpensWith> =>
    tellOpensWith(asked, async (buildId) => parts[buildId] ?? none);

  it("is told in a line, and for each module", async () => {
    const told = await tell({ [id("b")]: both, [id("c")]: { executable: true, debuginfo: false } });
    expect(opensWithText(told)).toBe(
      "lines: server; functions only: libshop.so; nothing stored: libc.so.6; no build-id: none.so",
    );
    expect(MODULES.map((one) => shownOf(told, one))).toEqual(["nothing", "lines", "functions", "", "", "nothing"]);
    expect(shownOf(undefined, MODULES[0] ?? module(""))).toBe("");
  });

  it("is left open where a store cannot tell, which is asked no further", async () => {
    let questions = 0;
    const told = await tellOpensWith(asked, async () => {
      questions += 1;
      throw new CdhError("CDH_STORE_DENIED", "the store denies it");
    });
    expect(opensWithText(told)).toBe("no build-id: none.so; not known: 3 (the store denies it)");
    expect(questions).toBeLessThanOrEqual(3);
  });

  it("is not waited for for ever, and a bug is no trouble of a store", async () => {
    const told = await tellOpensWith(asked, () => new Promise<never>(() => {}), { timeoutMs: 20 });
    expect(opensWithText(told)).toBe("no build-id: none.so; not known: 3 (no answer within 0.02 s)");
    await expect(tellOpensWith(asked, () => Promise.reject(new TypeError("a bug")))).rejects.toThrow("a bug");
  });
});
