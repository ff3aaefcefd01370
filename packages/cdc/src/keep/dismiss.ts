import { EXIT } from "@cdh/core/errors";
import type { Verdict } from "../decide/verdict.ts";
import type { Outcome, Work } from "../request.ts";
import type { TakenCore } from "../take/take-core.ts";
import type { Learning } from "../who/learn.ts";
import type { OpenBundle } from "./open-bundle.ts";

/** Remove what was written of a crash that is not kept, and log it. @param opening its failure does not matter any more */
export async function dismiss(
  { crash, crashId, log, limit }: Pick<Work, "crash" | "crashId" | "log" | "limit">,
  skip: NonNullable<Verdict["skip"]>,
  opening: Promise<Pick<OpenBundle, "file">>,
  made: { learning: Pick<Learning, "identity">; taken: Pick<TakenCore, "releaseSlot"> },
): Promise<Outcome> {
  await opening.then(
    ({ file }) => file.remove(),
    () => {},
  );
  await limit.watch(made.taken.releaseSlot());
  const { pod } = await made.learning.identity;
  const say = skip.exitCode === EXIT.ok ? log.info : log.error;
  say("crash not kept", {
    crashId,
    reason: skip.reason,
    namespace: pod?.namespace,
    pod: pod?.name,
    comm: crash.comm,
    signal: crash.signal,
    pid: crash.pid,
  });
  return { kind: "skipped", ...skip };
}
