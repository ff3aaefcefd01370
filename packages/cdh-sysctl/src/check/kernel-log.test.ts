import { expect, describe, it } from "vitest";
import { countComplaints, parseKernelRecord, understandRecords } from "./kernel-log.ts";

describe("parseKernelRecord", () => {
  // Recorded from Linux 6.18; the last three are of older kernels.
  it.each([
    ["4,334,730454215,-;coredump: 28203(sh): |/nonexistent/cdc pipe failed\n", "pipe_failed", "sh"],
    ["4,336,730474860,-;coredump: 28213(sh): over core_pipe_limit, skipping core dump\n", "pipe_limit", "sh"],
    ["4,346,7,-;coredump: 28346(sh): Coredump socket connection /tmp/nosocket failed -2\n", "socket_failed", "sh"],
    ["4,1,7,-;coredump: 9(a): RLIMIT_CORE is set to 1, aborting core\n", "refused", "a"],
    ["4,1,7,-;Pid 4711(worker) over core_pipe_limit\n", "pipe_limit", "worker"],
    ["4,1,7,-;Process 9(a) has RLIMIT_CORE set to 1\n", "refused", "a"],
    ["6,1,7,-;Core dump to |/usr/bin/cdc pipe failed\n SUBSYSTEM=x\n", "pipe_failed", undefined],
  ])("understands %j", (record, reason, comm) => {
    const found = parseKernelRecord(record);
    expect(found).toMatchObject({ reason, count: 1 });
    expect((found as { comm?: string }).comm).toBe(comm);
  });

  it("believes neither programs that write to the log nor names that look like its ends", () => {
    // Facility 1 (user), level 4: what a program wrote.
    expect(parseKernelRecord("12,1,7,-;coredump: 1(a): over core_pipe_limit, skipping core dump\n")).toBeUndefined();
    expect(parseKernelRecord("4,1,7,-;coredump: 1(x pipe failed): Unsafe core_pattern used\n")).toBeUndefined();
    expect(parseKernelRecord("4,1,7,-;usb 1-1: |x pipe failed\n")).toBeUndefined();
    expect(parseKernelRecord("nothing")).toBeUndefined();
  });
});

it("counts what the kernel left out for the line that follows", () => {
  const complaints = understandRecords([
    "4,1,7,-;coredump: 1(a): over core_pipe_limit, skipping core dump\n",
    "7,2,8,-;coredump_pipe: 28 callbacks suppressed\n",
    "4,3,9,-;coredump: 2(a): over core_pipe_limit, skipping core dump\n",
    "4,4,9,-;coredump: 3(a): |/x/cdc pipe failed\n",
  ]);
  expect(countComplaints(complaints)).toEqual({ pipe_limit: 30, pipe_failed: 1 });
});
