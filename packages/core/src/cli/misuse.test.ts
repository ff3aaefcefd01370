import { describe, expect, it } from "vitest";
import { describeMisuse, nearest, type KnownCommand } from "./misuse.ts";

const COMMANDS: KnownCommand[] = [
  {
    path: "cdh-x ls",
    usage: "cdh-x ls [--store URL] [-o,--output FORMAT] [-q,--quiet] [PLACE]",
    options: [{ definition: "--store URL" }, { definition: "-o,--output FORMAT" }, { definition: "-q,--quiet" }],
  },
  {
    path: "cdh-x show",
    usage: "cdh-x show [--lines NUMBER] <BUNDLE>",
    options: [{ definition: "--lines NUMBER" }, { definition: "--force" }],
  },
];

/** What the library says when nothing fits. */
const notFound = (...words: string[]): string =>
  `Command not found; did you mean one of:\n\n  0. cdh-x ls\n\nWhile running ${words.map((word) => (word === "" ? '""' : word)).join(" ")}`;

describe("describeMisuse", () => {
  const usage = "$ cdh-x show [--log-level #0] [--log-format #0] [--lines #0] <BUNDLE>";
  it.each([
    [`Unsupported option name ("--bogus").\n\n${usage}`, ["show", "--bogus"], "no such option: --bogus"],
    [`Unknown Syntax Error: Not enough positional arguments.\n\n${usage}`, ["show"], "something is missing: BUNDLE"],
    [`Extraneous positional argument ("b").\n\n${usage}`, ["show", "a", "b"], "one word too many: b"],
    [`Not enough arguments to option --lines.\n\n${usage}`, ["show", "--lines"], "--lines needs a value"],
    [`Invalid option name ("--force=1").\n\n${usage}`, ["show", "--force=1"], "--force takes no value"],
    [`Invalid option name ("--forth=1").\n\n${usage}`, ["show", "--forth=1"], "no such option: --forth=1"],
  ])("%j", (given, typed, message) => {
    const said = describeMisuse("cdh-x", given, COMMANDS, typed);
    expect(said.message).toBe(message);
    expect(said.hint).toMatch(/(^|\? )cdh-x show \[--lines NUMBER\] <BUNDLE> {2}\(cdh-x show --help tells more\)$/);
  });

  it.each([
    [["shwo", "a"], "no such command: shwo", "did you mean show? cdh-x --help tells all commands"],
    [["LS"], "no such command: LS", "did you mean ls? cdh-x --help tells all commands"],
    [["uplift"], "no such command: uplift", "cdh-x --help"],
    [["list"], "no such command: list", "did you mean ls? cdh-x --help tells all commands"],
    [["Describe", "a"], "no such command: Describe", "did you mean show? cdh-x --help tells all commands"],
    [["download"], "no such command: download", "cdh-x --help"],
    [
      ["delete", "a"],
      "no such command: delete",
      "kubectl delete coredump NAME, or retention, removes a crash; this program only reads",
    ],
    [[""], 'no such command: ""', "cdh-x --help"],
    [["--quiet"], "no command was given", "cdh-x --help"],
    [["--store", "x", "lss"], "no such command: lss", "did you mean ls? cdh-x --help tells all commands"],
  ])("%j", (typed, message, hint) => {
    expect(describeMisuse("cdh-x", notFound(...typed), COMMANDS, typed)).toEqual({ message, hint });
  });

  it.each([
    [["ls", "a", "b"], "one word too many: b"],
    [["ls", "--store", "x", "a", "-q", "b", "c"], "one word too many: b"],
    [["ls", "-o", "json", "--", "a", "-b"], "one word too many: -b"],
  ])("finds the word that is too much where the library finds no command: %j", (typed, message) => {
    expect(describeMisuse("cdh-x", notFound(...typed), COMMANDS, typed)).toEqual({
      message,
      hint: "cdh-x ls [--store URL] [-o,--output FORMAT] [-q,--quiet] [PLACE]  (cdh-x ls --help tells more)",
    });
  });

  it("guesses an option", () => {
    const given = `Unsupported option name ("--line").\n\n${usage}`;
    expect(describeMisuse("cdh-x", given, COMMANDS, ["show", "--line"]).hint).toMatch(
      /^did you mean --lines\? cdh-x show /,
    );
  });

  it("does not fill the screen with a long usage", () => {
    const long = `$ cdh-x ls ${"[--some-option #0] ".repeat(20)}[PLACE]`;
    const given = `Unsupported option name ("--bogus").\n\n${long}`;
    expect(describeMisuse("cdh-x", given).hint).toBe("cdh-x ls [OPTIONS] [PLACE]  (cdh-x ls --help tells more)");
  });

  it("leaves what commands say themselves", () => {
    expect(describeMisuse("cdh-x", "-o yaml: none of table, json, jsonl", COMMANDS, ["ls"])).toEqual({
      message: "-o yaml: none of table, json, jsonl",
      hint: "cdh-x ls --help",
    });
  });
});

describe("nearest", () => {
  const verbs = ["run", "sweep", "check", "completion"];
  it.each([
    ["swep", "sweep"],
    ["sweeep", "sweep"],
    ["swepe", "sweep"],
    ["Sweep", "sweep"],
    ["comp", "completion"],
    ["chek", "check"],
    ["rum", "run"],
    ["c", undefined],
    ["upload", undefined],
    ["", undefined],
    ["x".repeat(100_000), undefined],
  ])("%.20s", (word, expected) => {
    expect(nearest(word, verbs)).toBe(expected);
  });
});
