import { createHash } from "node:crypto";
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { systemClock } from "@cdh/core/clock";
import type { CoreFacts } from "@cdh/core/elf/facts";
import * as descriptors from "../stack/path-descriptor.ts";
import { hashUnnamed } from "./hash-unnamed.ts";

const hangs = vi.hoisted(() => new Set<number>());
vi.mock("../stack/path-descriptor.ts", async (original) => {
  const real = await original<typeof descriptors>();
  const reopenFileLater = (fd: number): ReturnType<typeof real.reopenFileLater> =>
    hangs.has(fd) ? new Promise(() => {}) : real.reopenFileLater(fd);
  return { ...real, reopenFileLater };
});

const ELF = Buffer.concat([Buffer.from([0x7f]), Buffer.from("ELF and more")]);
const factsOf = (...modules: object[]): CoreFacts => ({ modules }) as unknown as CoreFacts;

describe.runIf(process.platform === "linux")("files without a build-id", () => {
  let folder = "";
  const open: number[] = [];
  const keep = (name: string, bytes: Uint8Array): { fd: number; path: string } => {
    writeFileSync(join(folder, name), bytes);
    const fd = openSync(join(folder, name), descriptors.O_PATH);
    open.push(fd);
    return { fd, path: `/app/${name}` };
  };
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "hash-unnamed-"));
  });
  afterAll(() => {
    for (const fd of open) closeSync(fd);
    rmSync(folder, { recursive: true, force: true });
  });

  it("get their hash, if they are ELF files; others stay as they are", async () => {
    const kept = [keep("server", ELF), keep("script", Buffer.from("#!/bin/sh"))];
    const facts = factsOf({ path: "/app/server" }, { path: "/app/script" }, { path: "/app/named", buildId: "ab" });
    const hashed = await hashUnnamed(facts, kept, systemClock);
    expect(hashed.problems).toEqual([]);
    expect(hashed.facts.modules).toEqual([
      { path: "/app/server", sha256: createHash("sha256").update(ELF).digest("hex") },
      { path: "/app/script" },
      { path: "/app/named", buildId: "ab" },
    ]);
  });

  it("cost their hash alone when they do not answer, and that is told", async () => {
    const [program, library] = [keep("program", ELF), keep("library", ELF)];
    hangs.add(library.fd);
    const facts = factsOf({ path: library.path }, { path: program.path, executable: true });
    const began = performance.now();
    const hashed = await hashUnnamed(facts, [program, library], systemClock);
    expect(performance.now() - began).toBeLessThan(10_000);
    expect(hashed.problems).toMatchObject([{ step: "binaries", code: "CDH_DEADLINE" }]);
    expect(hashed.facts.modules.map(({ sha256 }) => sha256 === undefined)).toEqual([true, false]);
  });
});
