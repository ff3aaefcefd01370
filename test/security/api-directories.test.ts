import type { IncomingMessage } from "node:http";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AUDIENCE, BASE, putDump, startWorkbench, type Workbench } from "../api/workbench.ts";
import { notBuilt } from "../helpers/built.ts";
import { programOf, residentBytes } from "../helpers/resident.ts";
import { scratchDirectory } from "../helpers/scratch.ts";
import { describeUnless } from "../helpers/skip.ts";
import { missingTools } from "../helpers/tools.ts";
import { LARGEST_BUNDLES } from "./largest-bundles.ts";

const MIB = 1024 * 1024;
/** The chart's limit of memory. */
const PEAK_MAX = 512 * MIB;
/** CORES_MAX by default, of two users, since one has half of them at most. */
const CORES_AT_ONCE = 16;
const USERS = ["one", "two"] as const;
/** A stall of the machine shows in one try, a thread that is held shows in each. */
const TRIES = 5;

const SUITE = "cdh-api, with the largest zip directories and seek tables";

describeUnless(notBuilt("cdh-api") ?? missingTools("openssl"), SUITE, () => {
  let bench: Workbench;
  const paths: Record<string, string> = {};

  beforeAll(async () => {
    bench = await startWorkbench(scratchDirectory("security-directories"), {
      prepare: async (store) => {
        for (const [at, [name, zip]] of Object.entries(LARGEST_BUNDLES).entries()) {
          const { stem } = await putDump(store, { crashId: `dump-${at}` });
          await store.putBytes(`${stem}.zip`, zip(), { overwrite: true });
          paths[name] = `${BASE}/namespaces/shop/coredumps/dump-${at}`;
        }
      },
    });
    for (const user of USERS) bench.cluster.tokens.set(user, { user, audiences: [AUDIENCE] });
    bench.cluster.grants = USERS.map((user) => ({ user, verbs: ["*"], resources: ["*"], namespaces: ["*"] }));
  }, 120_000);
  afterAll(() => bench?.[Symbol.asyncDispose]());

  /** Open a bundle while /healthz is asked all the time. @returns which part of that time its longest answer took */
  const heldShare = async (name: string, what: "core" | "report"): Promise<number> => {
    const opening = { isDone: false };
    let longestMs = 0;
    const asking = (async () => {
      while (!opening.isDone) {
        const askedAt = performance.now();
        await (await fetch(`http://127.0.0.1:${bench.metricsPort}/healthz`)).text();
        longestMs = Math.max(longestMs, performance.now() - askedAt);
      }
    })();
    const began = performance.now();
    const method = what === "core" ? "HEAD" : "GET";
    const { status } = await bench.ask(`${paths[name]}/${what}`, { token: "one", method });
    const tookMs = performance.now() - began;
    opening.isDone = true;
    await asking;
    expect(status).toBe(200);
    return longestMs / tookMs;
  };

  it.each([
    ["frames in a seek table", "core"],
    ["entries", "core"],
    ["entries", "report"],
    ["names of entries", "core"],
    ["names of entries", "report"],
  ] as const)(
    "%s, for the %s: others are answered meanwhile",
    async (name, what) => {
      const shares: number[] = [];
      for (let at = 0; at < TRIES; at += 1) shares.push(await heldShare(name, what));
      process.stdout.write(`${name}, ${what}: ${shares.map((share) => share.toFixed(2)).join(" ")}\n`);
      // Held while the directory or the table was read, the longest answer took half of that time and more.
      expect(Math.min(...shares)).toBeLessThan(0.25);
    },
    90_000,
  );

  it.each(Object.keys(LARGEST_BUNDLES))(
    "%s: as many cores as may be open at once, within the memory",
    async (name) => {
      const open: IncomingMessage[] = [];
      const openAll = async (): Promise<number> => {
        for (const answer of open.splice(0)) answer.destroy();
        for (let at = 0; at < CORES_AT_ONCE; at += 1) {
          const answer = await bench.open(`${paths[name]}/core`, { token: USERS[at % 2] ?? "" });
          answer.on("error", () => {}).pause();
          answer.socket.pause();
          open.push(answer);
        }
        return open.filter(({ statusCode }) => statusCode === 200).length;
      };
      // Once half of the places are taken, who has most of them gets no more. A place is free soon after its client went.
      let taken = await openAll();
      for (let tries = 0; taken < CORES_AT_ONCE / 2 && tries < TRIES; tries += 1) {
        await delay(1000);
        taken = await openAll();
      }
      expect(taken).toBeGreaterThanOrEqual(CORES_AT_ONCE / 2);
      const peak = residentBytes(programOf(bench.server, "cdh-api.mjs"), "VmHWM");
      for (const answer of open) answer.destroy();
      process.stdout.write(`${name}: ${taken} cores open, peak ${Math.round(peak / MIB)} MiB\n`);
      expect(peak).toBeLessThan(PEAK_MAX);
    },
    120_000,
  );
});
