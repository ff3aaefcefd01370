import { describe, expect, it } from "vitest";
import { SeededRandom } from "../testing/random.ts";
import { parseKernelArguments } from "./arguments.ts";
import { expandSpecifiers } from "./expand-specifiers.ts";

const crash = parseKernelArguments([
  "-P=100",
  "-p=1",
  "-i=101",
  "-u=1000",
  "-g=1001",
  "-s=11",
  "-t=1700000000",
  "-c=18446744073709551615",
  "-m=1",
  "-F=3",
  "-h=node-1",
  "-e=my app",
  "-E=!usr!bin!my app",
]);

describe("expandSpecifiers", () => {
  it.each([
    // The patterns that distributions ship.
    ["%P %u %g %s %t %c %h %d %F", "100 1000 1001 11 1700000000 18446744073709551615 node-1 1 3"],
    ["-p%p -I%I -i%i --%E", "-p1 -I101 -i101 --!usr!bin!my app"],
    ["%e %f", "my app my app"],
    ["100%%", "100%"],
    ["%%P", "%P"],
    ["%z%Z%", ""],
    ["a%", "a"],
    ["", ""],
  ])("%s", (word, expanded) => expect(expandSpecifiers(word, crash)).toBe(expanded));

  it("takes from /proc what a short line left out", () => {
    const short = parseKernelArguments(["-P=100", "-s=11", "-e=app"]);
    expect(expandSpecifiers("%u.%g.%E.%f", short, { uid: 7, gid: 8, exe: "/opt/x/app" })).toBe("7.8.!opt!x!app.app");
    expect(expandSpecifiers("%u.%g.%E.%c.%h", short)).toBe("....");
  });

  it("expands what is put in only once", () => {
    const hostile = parseKernelArguments(["-P=100", "-e=%P%s", "-h=%%"]);
    expect(expandSpecifiers("%e %h", hostile)).toBe("%P%s %%");
  });

  it("is total", () => {
    const random = new SeededRandom(3);
    for (let round = 0; round < 2000; round += 1) {
      const word = String.fromCharCode(
        ...Array.from({ length: random.integer(20) }, () => random.pick([37, 80, 115, 0, 0xd800, 65])),
      );
      expect(typeof expandSpecifiers(word, crash)).toBe("string");
    }
  });
});
