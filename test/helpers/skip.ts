import { describe, it, type TestContext } from "vitest";

/**
 * Skip the running test and say why. The reason is listed at the end of `npm test`; no test skips silently.
 * @param reason what this machine lacks, in words a reader can act on: `gcc is not on this machine`
 */
export function skipAloud(context: TestContext, reason: string): never {
  return context.skip(reason);
}

/**
 * Declare a suite, or, when `reason` says why it can't run here, one skipped test that carries the reason.
 * @param reason undefined when the suite can run
 */
export function describeUnless(reason: string | undefined, name: string, body: () => void): void {
  if (reason === undefined) {
    describe(name, body);
    return;
  }
  describe(name, () => {
    it("runs here", (context) => {
      skipAloud(context, reason);
    });
  });
}
