import { expect, it } from "vitest";
import { markValue, nameValues } from "./value-words.ts";

it("gives each option of a command its own word, in the list and in the line of usage", () => {
  const options = [
    { definition: "-o,--output #0", description: markValue("FILE", "file to write") },
    { definition: "--log-level #0", description: "how much" },
    { definition: "--pair #0 #1", description: markValue("TEXT", "two") },
    { definition: "-q,--quiet", description: "less" },
  ];
  const named = nameValues("cdh-x ls [-q,--quiet] [-o,--output #0] [--log-level #0] [--pair #0 #1] <PLACE>", options);
  expect(named.usage).toBe("cdh-x ls [-q,--quiet] [-o,--output FILE] [--log-level LEVEL] [--pair TEXT TEXT] <PLACE>");
  expect(named.options).toEqual([
    { definition: "-o,--output FILE", description: "file to write" },
    { definition: "--log-level LEVEL", description: "how much" },
    { definition: "--pair TEXT TEXT", description: "two" },
    { definition: "-q,--quiet", description: "less" },
  ]);
});
