import { expect, it } from "vitest";
import { notBuilt, runBuilt, type Program } from "../helpers/built.ts";
import { describeUnless } from "../helpers/skip.ts";
import { verbsIn } from "../helpers/verbs.ts";

const PROGRAMS: Program[] = ["cdc", "cdh-sysctl", "cdh-upload", "cdh-inspect"];

describeUnless(notBuilt(...PROGRAMS), "help", () => {
  it.each(PROGRAMS)(
    "of %s names every value and tells exit statuses",
    async (program) => {
      const overview = await runBuilt(program, ["--help"]);
      expect(overview).toMatchObject({ exitCode: 0, stderr: "" });
      for (const line of overview.stdout.split("\n")) expect(line.length, line).toBeLessThanOrEqual(120);
      const verbs = verbsIn(overview.stdout);
      expect(verbs).toContain("completion");
      for (const verb of verbs) {
        const { exitCode, stdout } = await runBuilt(program, [...verb.split(" "), "--help"]);
        expect(exitCode).toBe(0);
        expect(stdout).not.toMatch(/#\d/);
        expect(stdout).toMatch(/--log-level LEVEL/);
        expect(stdout).toMatch(/exit\s+status:\s+0\s+done/i);
      }
    },
    180_000,
  );

  it("answers a wrong command line with what would be right", async () => {
    const wrong = await runBuilt("cdh-inspect", ["show", "a.zip", "--bogus"]);
    expect(wrong).toMatchObject({ exitCode: 2, stdout: "" });
    const [said, hint] = wrong.stderr.split("\n");
    expect(said).toBe("cdh-inspect: no such option: --bogus");
    expect(hint).toMatch(
      /^hint: cdh-inspect show .*\[--lines NUMBER\] <BUNDLE> {2}\(cdh-inspect show --help tells more\)$/,
    );
    expect(await runBuilt("cdh-inspect", ["shwo"])).toMatchObject({
      exitCode: 2,
      stderr: "cdh-inspect: no such command: shwo\nhint: did you mean show? cdh-inspect --help tells all commands\n",
    });
    expect(await runBuilt("cdh-inspect", ["symbols"])).toMatchObject({
      exitCode: 2,
      stderr: expect.stringContaining("symbols is followed by one of push, find, ls, prune"),
    });
  });
});
