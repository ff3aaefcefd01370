import * as fc from "fast-check";
import {
  parseCmdline,
  parseProcStatus,
  tryParseBootTime,
  tryParseMapsLine,
  tryParsePidfdInfo,
  tryParseProcStat,
} from "../../../packages/core/src/container/proc-text.ts";
import { around, hostileText, SEPARATORS } from "../grammar/text.ts";
import { defineTarget, must } from "../target.ts";

/** What a process may call itself: 15 bytes, any but NUL. */
const comm = fc
  .oneof(
    hostileText,
    fc
      .tuple(
        fc.constantFrom(...SEPARATORS),
        fc.constantFrom(
          "CoreDumping:\t1",
          "CoreDumping:\t0",
          "Uid:\t7",
          "Gid:\t8",
          "VmSize:\t",
          "State:\tZ",
          "Pid:\t1",
        ),
      )
      .map((pieces) => pieces.join("")),
  )
  .map((text) => Buffer.from(text.replaceAll("\0", "")).subarray(0, 15).toString("latin1"));

/** `/proc` texts as the kernel writes them, with what a process may choose in them. */
export const procTextTarget = defineTarget({
  name: "proc-text",
  what: "/proc texts of processes whose names hold every line separator",
  recipes: fc.record({
    comm,
    uid: fc.constantFrom(0, 1000, 65_534, 4_294_967_294),
    gid: fc.constantFrom(0, 1000, 65_534),
    groups: around(16, 6000, 65_536),
    coreDumping: fc.constantFrom(undefined, true, false),
    hasMemory: fc.boolean(),
    startTicks: fc.nat(),
    words: fc.array(hostileText, { maxLength: 5 }),
  }),
  build: (facts) => {
    // seq_escape_str(… ESCAPE_SPACE | ESCAPE_SPECIAL, "\n\\") of the kernel's task_name_format.
    const name = facts.comm.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
    const ids = (id: number): string => [id, id, id, id].join("\t");
    const memory = facts.hasMemory ? "VmPeak:\t    2000 kB\nVmSize:\t    1000 kB\nVmRSS:\t     900 kB\n" : "";
    const dumping =
      facts.coreDumping === undefined || !facts.hasMemory ? "" : `CoreDumping:\t${facts.coreDumping ? 1 : 0}\n`;
    return {
      facts,
      status: `Name:\t${name}\nUmask:\t0022\nState:\tD (disk sleep)\nTgid:\t42\nNgid:\t0\nPid:\t42\nPPid:\t1\nTracerPid:\t0\nUid:\t${ids(facts.uid)}\nGid:\t${ids(facts.gid)}\nFDSize:\t64\nGroups:\t${"4294967294 ".repeat(facts.groups)}\nNStgid:\t42\n${memory}${dumping}THP_enabled:\t1\nThreads:\t1\n`,
      stat: `42 (${facts.comm}) D 1 42 42 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 ${facts.startTicks} 1000000 200 18446744073709551615\n`,
    };
  },
  bytesOf: ({ status }) => Buffer.from(status, "latin1"),
  run: ({ facts, status, stat }) => {
    const read = parseProcStatus(status);
    must(read.uid === facts.uid && read.gid === facts.gid, `ids ${read.uid}:${read.gid}, of ${facts.uid}:${facts.gid}`);
    const dumping = facts.hasMemory ? facts.coreDumping : undefined;
    must(read.coreDumping === dumping, `CoreDumping ${read.coreDumping}, of ${dumping}`);
    must(read.hasMemory === facts.hasMemory, `hasMemory ${read.hasMemory}`);
    must(read.state === "D", `state ${read.state}`);
    const { startTicks, pid, ppid } = tryParseProcStat(stat) ?? {};
    must(startTicks === facts.startTicks && pid === 42 && ppid === 1, `stat read as ${pid}, ${ppid}, ${startTicks}`);
    const words = facts.words.map((word) => word.replaceAll("\0", "").toWellFormed());
    const list = parseCmdline(Buffer.from(words.map((word) => `${word}\0`).join("")));
    must(JSON.stringify(list) === JSON.stringify(words), "the command line is another one");
    // The kernel writes a newline of a path as \012 and nothing else another way: a path that holds that text is not told apart.
    const path = `/${words.join("/")}`;
    const written = Buffer.from(path.replaceAll("\n", "\\012")).toString("latin1");
    const line = tryParseMapsLine(`7f00-8f00 r-xp 00000000 08:01 7    ${written}`);
    must(line?.path === path.replaceAll("\\012", "\n"), "the mapping is another file's");
    for (const text of [facts.comm, status, stat]) {
      tryParsePidfdInfo(text);
      tryParseBootTime(text);
    }
  },
});
