import { afterEach } from "vitest";
import type { Fault, FaultProxy, Operation } from "./fault-proxy.ts";
import { makeWorkbench, type Workbench } from "./workbench.ts";

/** What leaves a request alone. */
export const PASS: Fault = { kind: "pass" };

/** Spools whose store is behind a proxy that fails. */
export interface FaultBenches {
  /** Make a spool; the proxy passes everything again. @param env beside the store's own settings */
  bench(env?: Record<string, string>): Promise<Workbench>;
  /** Do something with the first requests of an operation; tells how often it happened. */
  failFirst(operation: Operation, times: number, fault: Fault): () => number;
}

/**
 * Make spools for the tests of this block, each gone after its test: a daemon that still runs would take the next test's fault.
 * @param storeOf gives the proxy and the settings of the store behind it, once both are there
 */
export function useFaultBenches(storeOf: () => { proxy: FaultProxy; env: Record<string, string> }): FaultBenches {
  const benches: Workbench[] = [];
  afterEach(async () => {
    for (const each of benches.splice(0)) await each[Symbol.asyncDispose]();
  });
  return {
    bench: async (more = {}) => {
      const { proxy, env } = storeOf();
      proxy.decide = () => PASS;
      const made = await makeWorkbench({ ...env, STORE_TIMEOUT: "5s", ...more });
      benches.push(made);
      return made;
    },
    failFirst: (operation, times, fault) => {
      let done = 0;
      storeOf().proxy.decide = (seen) => {
        if (seen.operation !== operation || done >= times) return PASS;
        done += 1;
        return fault;
      };
      return () => done;
    },
  };
}
