import { describe, expect, it } from "vitest";
import { commonLast, describeMisuse, formatOverview, nameValues } from "./help.ts";

describe("nameValues", () => {
  it.each([
    ["-o,--output #0", "-o,--output FORMAT"],
    ["--pod #0", "--pod POD"],
    ["--log-level #0", "--log-level LEVEL"],
    ["--quiet", "--quiet"],
    ["cdh-x ls [-q,--quiet] [--since #0] <PLACE>", "cdh-x ls [-q,--quiet] [--since TIME] <PLACE>"],
    ["--pair #0 #1", "--pair PAIR PAIR"],
  ])("%s", (given, expected) => {
    expect(nameValues(given)).toBe(expected);
  });
});

it("shows what every command has after what only this one has", () => {
  const options = ["--log-level LEVEL", "--log-format FORMAT", "--pod POD"].map((definition) => ({ definition }));
  expect(commonLast(options).map(({ definition }) => definition[2])).toEqual(["p", "l", "l"]);
});

it("lists every command on one line, by category", () => {
  const text = formatOverview({ name: "cdh-x", label: "cdh-x 1: does things" }, [
    { usage: "cdh-x ls [PLACE]", category: "Look", description: "list\n" },
    { usage: "cdh-x help", category: "Help", description: "help" },
    { usage: "cdh-x show <BUNDLE>", category: "Look" },
  ]);
  expect(text).toBe(`cdh-x 1: does things

Usage: cdh-x COMMAND

Look
  ls [PLACE]     list
  show <BUNDLE>

Help
  help           help

cdh-x COMMAND --help tells a command's options, with examples.
`);
});

describe("describeMisuse", () => {
  const usage = "$ cdh-x show [--log-level #0] [--log-format #0] [--lines #0] <BUNDLE>";
  it.each([
    [`Unsupported option name ("--bogus").\n\n${usage}`, "no such option: --bogus"],
    [`Unknown Syntax Error: Not enough positional arguments.\n\n${usage}`, "something is missing"],
    [`Extraneous positional argument ("b").\n\n${usage}`, "one word too many: b"],
    [`Not enough arguments to option --lines.\n\n${usage}`, "Not enough arguments to option --lines."],
  ])("%j", (given, message) => {
    expect(describeMisuse("cdh-x", given)).toEqual({
      message,
      hint: "cdh-x show [--lines NUMBER] <BUNDLE>  (cdh-x show --help tells more)",
    });
  });

  it("answers a mistyped command with its name", () => {
    const message = "Command not found; did you mean one of:\n\n  0. cdh-x ls\n\nWhile running shwo a";
    expect(describeMisuse("cdh-x", message)).toEqual({ message: "no such command: shwo a", hint: "cdh-x --help" });
  });

  it("leaves what commands say themselves", () => {
    expect(describeMisuse("cdh-x", "-o yaml: none of table, json, jsonl")).toMatchObject({
      message: "-o yaml: none of table, json, jsonl",
      hint: "cdh-x --help",
    });
  });
});
