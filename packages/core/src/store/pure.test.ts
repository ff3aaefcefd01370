import { describe, expect, it } from "vitest";
import { backoffMs, retrying } from "../async/backoff.ts";
import { jumpingClock } from "../testing/jumping-clock.ts";
import { checkKey, compareKeys, keyPart } from "./keys.ts";
import { decodeMetadata, encodeMetadata } from "./metadata-text.ts";
import { Semaphore } from "./semaphore.ts";
import { createThrottle } from "./throttle.ts";

describe("backoff", () => {
  it("doubles up to the cap, half of it by chance", () => {
    const options = { baseMs: 1000, capMs: 10_000 };
    const least = [1, 2, 3, 4, 5, 60].map((failures) => backoffMs(failures, { ...options, random: () => 0 }));
    const most = [1, 2, 3, 4, 5, 60].map((failures) => backoffMs(failures, { ...options, random: () => 1 }));
    expect(least).toEqual([500, 1000, 2000, 4000, 5000, 5000]);
    expect(most).toEqual([1000, 2000, 4000, 8000, 10_000, 10_000]);
  });

  it("tries again while it helps, and throws the last error", async () => {
    const clock = jumpingClock();
    const attempt = (fails: number, isTransient: boolean) => {
      let tries = 0;
      const work = async (): Promise<number> => {
        tries += 1;
        if (tries <= fails) throw new Error(`failure ${tries}`);
        return tries;
      };
      return retrying(work, { clock, attempts: 3, baseMs: 10, capMs: 100, isTransient: () => isTransient });
    };
    expect(await attempt(2, true)).toBe(3);
    await expect(attempt(3, true)).rejects.toThrow("failure 3");
    await expect(attempt(1, false)).rejects.toThrow("failure 1");
  });
});

describe("keys", () => {
  it.each(["a", "a/b.zip", "ü/ x", "a..b/c", "%2e"])("takes %j", (key) => expect(checkKey(key)).toBe(key));

  it("makes any text a usable part of a key", () => {
    const texts = ["", ".", "..", ".hidden", "a/b", "a\\b", "a\nb", "\u0000", "\ud800", "\u202egpj.zip", "fine", "…ü"];
    for (const text of texts) expect(checkKey(`${keyPart(text)}/x`)).toBe(`${keyPart(text)}/x`);
    expect(keyPart("fine")).toBe("fine");
  });

  it("orders keys by their bytes", () => {
    expect(["ä", "z", "a/", "a-", "a", "\u{10000}", "\uffff"].toSorted(compareKeys)).toEqual([
      "a",
      "a-",
      "a/",
      "z",
      "ä",
      "\uffff",
      "\u{10000}",
    ]);
  });
});

describe("S3 metadata", () => {
  it.each(["plain", "wéb", "100%", "%41", "line\nbreak", "\u{1f4a5}", "a".repeat(399), ""])("carries %j", (value) => {
    const encoded = encodeMetadata({ "CDH-Pod": value });
    expect(encoded["cdh-pod"]).toMatch(/^[\u0020-\u007e]*$/);
    expect(decodeMetadata(encoded)).toEqual({ "cdh-pod": value });
  });

  it("cuts what is too long, never inside of an encoded character", () => {
    const encoded = encodeMetadata({ x: `a${"ü".repeat(300)}` })["x"] ?? "";
    expect(encoded.length).toBeLessThanOrEqual(400);
    expect(decodeMetadata({ x: encoded })["x"]).toBe(`a${"ü".repeat(66)}`);
    expect(decodeMetadata({ x: "%zz" })).toEqual({ x: "%zz" });
  });
});

describe("throttle", () => {
  it("holds all takers together to the rate, after a second's worth", async () => {
    const clock = jumpingClock();
    const throttle = createThrottle(1000, clock);
    await clock.sleep(5000);
    clock.slept.length = 0;
    for (let index = 0; index < 10; index += 1) await throttle.take(500);
    // 5000 bytes, of which 1000 were saved up.
    expect(clock.slept.reduce((sum, ms) => sum + ms, 0)).toBe(4000);
  });

  it("lets everything through without a limit", async () => {
    const clock = jumpingClock();
    await createThrottle(undefined, clock).take(1e12);
    expect(clock.slept).toEqual([]);
  });
});

describe("Semaphore", () => {
  it("lets so many run at once, and lets go after failures", async () => {
    const semaphore = new Semaphore(3);
    let running = 0;
    let most = 0;
    const task = (fails: boolean) => async (): Promise<void> => {
      running += 1;
      most = Math.max(most, running);
      await new Promise((resolve) => setImmediate(resolve));
      running -= 1;
      if (fails) throw new Error("failed");
    };
    const ends = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => semaphore.run(task(index % 3 === 0))),
    );
    expect(most).toBe(3);
    expect(ends.filter((end) => end.status === "rejected").length).toBe(7);
  });
});
