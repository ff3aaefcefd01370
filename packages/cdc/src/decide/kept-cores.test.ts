import { describe, expect, it } from "vitest";
import { decideCore, settleCore, type KeptCore } from "./kept-cores.ts";

const HOUR = 3_600_000;
const LIMIT = { count: 2, windowMs: HOUR };

function at(nowMs: number, crashId = "new"): Parameters<typeof decideCore>[2] {
  return { crashId, nowMs, takingMs: HOUR / 4 };
}

const whole = (crashId: string, when: number): KeptCore => ({ crashId, at: when, bundle: `${crashId}.zip` });

describe("decideCore", () => {
  it("takes so many in a window, then the newest whole one stands for the others", () => {
    let cores: KeptCore[] = [];
    for (const crashId of ["a", "b"]) {
      const decided = decideCore(cores, LIMIT, at(0, crashId));
      expect(decided.wholeCore).toBeUndefined();
      cores = settleCore(decided.cores, crashId, `${crashId}.zip`);
    }
    expect(decideCore(cores, LIMIT, at(HOUR - 1)).wholeCore).toEqual({ crashId: "b", bundle: "b.zip" });
    expect(decideCore(cores, LIMIT, at(HOUR)).wholeCore).toBeUndefined();
  });

  it("takes all while none is whole, however many are being taken", () => {
    const cores = ["a", "b", "c"].map((crashId) => ({ crashId, at: 0 }));
    expect(decideCore(cores, LIMIT, at(1)).wholeCore).toBeUndefined();
  });

  it("counts those that are being taken beside a whole one, until their composer must be dead", () => {
    const cores = [whole("a", 0), { crashId: "b", at: 0 }];
    expect(decideCore(cores, LIMIT, at(1)).wholeCore).toEqual({ crashId: "a", bundle: "a.zip" });
    expect(decideCore(cores, LIMIT, at(HOUR / 4)).wholeCore).toBeUndefined();
  });

  it("forgets a core that was cut", () => {
    const cores = settleCore([whole("a", 0), { crashId: "b", at: 0 }], "b", undefined);
    expect(decideCore(cores, LIMIT, at(1)).wholeCore).toBeUndefined();
  });

  it("a clock that went backwards leaves no core out", () => {
    expect(decideCore([whole("a", HOUR), whole("b", HOUR)], LIMIT, at(1)).wholeCore).toBeUndefined();
  });
});
