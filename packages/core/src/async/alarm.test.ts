import { expect, it } from "vitest";
import { systemClock } from "../base/clock.ts";
import { Alarm } from "./alarm.ts";

it("ends the wait that goes on", async () => {
  const alarm = new Alarm<string>();
  const waited = alarm.wait();
  alarm.ring("change");
  expect(await waited).toBe("change");
});

it("is heard when it rang before, once, and the last reason counts", async () => {
  const alarm = new Alarm<string>();
  alarm.ring("first");
  alarm.ring("second");
  expect(await alarm.wait()).toBe("second");
  expect(await alarm.wait({ timeout: { clock: systemClock, ms: 5 } })).toBeUndefined();
});

it("ends by its signal, also by one that was aborted before, and forgets nothing that rings meanwhile", async () => {
  const alarm = new Alarm<string>();
  const stop = new AbortController();
  const waited = alarm.wait({ signal: stop.signal });
  stop.abort();
  expect(await waited).toBeUndefined();
  expect(await alarm.wait({ signal: stop.signal })).toBeUndefined();
  alarm.ring("late");
  expect(await alarm.wait({ signal: stop.signal })).toBe("late");
});
