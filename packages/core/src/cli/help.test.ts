import { expect, it } from "vitest";
import { commonLast, formatOverview } from "./help.ts";

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
