import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { isKernelMode, parseKernelArguments } from "./arguments.ts";
import { isContainerId, isPodUid, parseCgroup } from "./cgroup.ts";
import { buildCorePattern, isOurPattern, parseCorePattern } from "./pattern.ts";

const CASES = 100_000;

/** Pieces that hostile words are put together from. */
const PIECES = [
  ..."PpiIugstcmFheEdTD".split("").flatMap((letter) => [`-${letter}`, `-${letter}=`]),
  ..."limit-size exe-name pid signal timestamp dir hostname pathname timeout disable-compression"
    .split(" ")
    .map((name) => `--${name}`),
  ..."= - -- --= 0 1 11 -1 4294967296 18446744073709551615 18446744073709551616 1e9 0x10 true false unlimited".split(
    " ",
  ),
  "",
  " ",
  "\n",
  "\0",
  "\ufffd",
  "\ud800",
  "ü",
  "!",
  "!usr!bin!x",
  "/",
  "..",
  "a b",
  "__proto__",
  "constructor",
  "(path unknown)",
  " (deleted)",
];

/** What only the kernel may say. */
const TRUSTED_KEYS = [
  "pid",
  "pidInNamespace",
  "tid",
  "uid",
  "gid",
  "signal",
  "timestamp",
  "rlimitCoreBytes",
  "dumpMode",
  "pidfd",
  "dir",
  "timeoutSeconds",
  "disableCompression",
] as const;

function hostileWords(random: SeededRandom): string[] {
  return Array.from({ length: random.integer(20) }, () =>
    Array.from({ length: 1 + random.integer(3) }, () => random.pick(PIECES)).join(""),
  );
}

describe("the kernel's line", () => {
  it(`is read whatever the words, ${CASES} cases`, { timeout: 60_000 }, () => {
    let useful = 0;
    for (let seed = 0; seed < CASES; seed += 1) {
      const words = hostileWords(new SeededRandom(seed));
      const crash = parseKernelArguments(words);
      isKernelMode(words);
      if (crash.pid !== undefined || crash.comm !== undefined) useful += 1;
      for (const [key, value] of Object.entries(crash)) {
        if (typeof value === "number" && !(Number.isFinite(value) && value >= 0))
          throw new Error(`seed ${seed}: ${key} is ${value}`);
      }
      if (crash.problems.length > 32) throw new Error(`seed ${seed}: problems`);
    }
    expect(useful).toBeGreaterThan(CASES / 10);
  });

  it(
    "cannot be steered by the name, host or path of the crashed program on kernels that split at blanks",
    { timeout: 60_000 },
    () => {
      const trusted = ["-P=4711", "-p=1", "-u=1000", "-s=11", "-t=5", "-c=0", "-m=2", "-F="];
      const expected = parseKernelArguments(trusted);
      const steered: string[] = [];
      for (let seed = 0; seed < CASES / 5; seed += 1) {
        const random = new SeededRandom(seed);
        const text = (): string => hostileWords(random).slice(0, 4).join(" ");
        const line = [...trusted, ...`-h=${text()} -e=${text()} -E=${text()}`.split(/\s+/).filter(Boolean)];
        const crash = parseKernelArguments(line);
        for (const key of TRUSTED_KEYS) {
          if (crash[key] !== expected[key]) steered.push(`seed ${seed}: ${key} by ${JSON.stringify(line)}`);
        }
      }
      expect(steered).toEqual([]);
    },
  );
});

describe("cgroup text and core patterns", () => {
  const parts = [
    "0::",
    "1:name=systemd:",
    "/",
    "\n",
    "kubepods",
    "kubepods.slice",
    "besteffort",
    "pod",
    "-pod",
    ".slice",
    ".scope",
    ":",
    "cri-containerd-",
    "crio-",
    "crio-conmon-",
    "docker",
    "..",
    " (deleted)",
    "\0",
    "3b0a5d2e-8f4c-4f3b-9a57-0c6a1f6e2d11",
    "3b0a5d2e_8f4c_4f3b_9a57_0c6a1f6e2d11",
    "0".repeat(64),
    "f".repeat(64),
    "a".repeat(32),
    "A".repeat(64),
  ];

  it(`are read whatever the text, and give only valid ids, ${CASES} cases`, { timeout: 60_000 }, () => {
    let found = 0;
    for (let seed = 0; seed < CASES; seed += 1) {
      const random = new SeededRandom(seed);
      const text = `0::/${Array.from({ length: random.integer(14) }, () => random.pick(parts)).join("")}`;
      const identity = parseCgroup(text);
      if (identity.containerId !== undefined) found += 1;
      if (identity.containerId !== undefined && !isContainerId(identity.containerId))
        throw new Error(`seed ${seed}: ${identity.containerId}`);
      if (identity.podUid !== undefined && !isPodUid(identity.podUid))
        throw new Error(`seed ${seed}: ${identity.podUid}`);
      parseCorePattern(text);
      isOurPattern(`|${text}`);
    }
    expect(found).toBeGreaterThan(CASES / 100);
  });

  it("come back from the pattern as they were built, for any directory", () => {
    for (let seed = 0; seed < 2000; seed += 1) {
      const random = new SeededRandom(seed);
      const dir = `/${Array.from({ length: random.integer(40) }, () => random.pick([..."abcXYZ019._-%+ü/"])).join("")}`;
      const pattern = buildCorePattern(dir);
      expect(Buffer.byteLength(pattern)).toBeLessThanOrEqual(127);
      expect(isOurPattern(pattern, dir)).toBe(true);
      expect(isOurPattern(pattern)).toBe(true);
    }
  });
});
