import { setTimeout as delay } from "node:timers/promises";

/**
 * Poll until something holds.
 * @param look gives undefined or false until it does
 * @param explain said in the error
 * @returns what `look` gave
 */
export async function expectSoon<T>(
  what: string,
  look: () => T | Promise<T>,
  options: { timeoutMs?: number; explain?: () => string | Promise<string> } = {},
): Promise<Exclude<T, undefined | false | null>> {
  const timeoutMs = options.timeoutMs ?? 30_000;
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false && found !== null) return found as Exclude<T, undefined | false | null>;
    if (performance.now() > deadline)
      throw new Error(`after ${timeoutMs} ms it is not so that ${what}\n${(await options.explain?.()) ?? ""}`);
    await delay(50);
  }
}
