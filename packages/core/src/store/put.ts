import { CdhError } from "../base/errors.ts";
import type { Logger } from "../service/log.ts";
import type { FileDigest } from "./digest.ts";
import type { ObjectInfo, PutOptions, PutResult, VerifiedBy } from "./store.ts";

/** What {@link putVerified} needs of a store. `Shown` is what the store shows of an object. */
export interface PutSteps<Shown> {
  /** The store, for messages. */
  url: string;
  log: Logger;
  head(signal: AbortSignal | undefined): Promise<Shown | undefined>;
  describe(shown: Shown): ObjectInfo;
  /**
   * Compare what is shown with what was hashed here.
   * @returns what proved that it is the same; undefined when it is something else
   * @throws {CdhError} when it could not be looked at whole
   */
  verify(shown: Shown): Promise<VerifiedBy | undefined>;
  /**
   * Send the content, on the condition that what lies there is still `before`; with `overwrite` on none.
   * @returns the result where the answer alone is proof enough
   */
  send(before: Shown | undefined): Promise<PutResult | void>;
  /** Tell whether the work may be done although the answer says that it failed, or did not come. */
  mayHaveArrived(failure: CdhError): boolean;
  /** Tell whether the store protects what lies there, which is a better word than that there is other content. */
  isProtected(failure: CdhError): boolean;
  /** Take away what is damaged and says that it is this content, so that the next put finds nothing. */
  removeDamaged?(signal: AbortSignal | undefined): Promise<void>;
}

/**
 * Send what is not there yet and look: the object counts as stored only when the store shows the very same bytes.
 * What could not be looked at decides nothing: no verdict on the content is thrown then.
 * @param before what the store shows under the key now
 */
export async function putVerified<Shown>(
  steps: PutSteps<Shown>,
  { key, digest, before, options }: { key: string; digest: FileDigest; before: Shown | undefined; options: PutOptions },
): Promise<PutResult> {
  const { signal } = options;
  const isOurs = (shown: Shown): boolean => steps.describe(shown).metadata?.["cdh-sha256"] === digest.sha256;
  const result = (shown: Shown, alreadyThere: boolean, verifiedBy: VerifiedBy): PutResult => {
    const { sizeBytes, sha256 } = digest;
    return { ...steps.describe(shown), sizeBytes, sha256, alreadyThere, verifiedBy };
  };
  if (before !== undefined) {
    const verifiedBy = await steps.verify(before);
    if (verifiedBy !== undefined) return result(before, true, verifiedBy);
    // Our own hash on other bytes: an upload of this very content that went wrong. It is replaced.
    if (isOurs(before))
      steps.log.warn("replacing a damaged object", { key, sizeBytes: steps.describe(before).sizeBytes });
    else if (options.overwrite !== true) throw conflict(steps, key, digest, before);
  }
  let failure: unknown;
  try {
    const known = await steps.send(before);
    if (known !== undefined) return known;
  } catch (error) {
    // The answer may have been lost after the work was done, or another process was first: the object itself says it.
    const isConflict = error instanceof CdhError && error.code === "CDH_STORE_CONFLICT";
    const worthALook = error instanceof CdhError && (isConflict || steps.mayHaveArrived(error));
    if (signal?.aborted === true || !worthALook) throw error;
    failure = error;
  }
  const refused = failure instanceof CdhError && failure.code === "CDH_STORE_CONFLICT" ? failure : undefined;
  const after = await steps.head(signal).catch((error: unknown) => {
    throw failure === undefined || isVerdict(failure) ? error : failure;
  });
  if (after === undefined) throw failure ?? mismatch(steps, key, "the store accepted it, but shows no such object");
  const verifiedBy = await steps.verify(after);
  if (verifiedBy !== undefined) return result(after, refused !== undefined, verifiedBy);
  if (failure !== undefined && refused === undefined) throw failure;
  if (refused !== undefined && steps.isProtected(refused)) throw refused;
  if (!isOurs(after)) throw conflict(steps, key, digest, after);
  await steps.removeDamaged?.(signal).catch(() => {});
  throw mismatch(steps, key, `the store shows ${steps.describe(after).sizeBytes} bytes, which are not what was sent`);
}

/** Tell whether an error speaks against the content for ever, which is true only of what could be looked at. */
function isVerdict(error: unknown): boolean {
  return error instanceof CdhError && (error.code === "CDH_STORE_CONFLICT" || error.code === "CDH_STORE_REFUSED");
}

function conflict<Shown>(steps: PutSteps<Shown>, key: string, digest: FileDigest, shown: Shown): CdhError {
  return new CdhError("CDH_STORE_CONFLICT", `cannot store ${key} in ${steps.url}: other content lies there`, {
    hint: "nothing was replaced; compare the two and delete one",
    details: { key, sizeBytes: digest.sizeBytes, thereBytes: steps.describe(shown).sizeBytes },
  });
}

function mismatch<Shown>({ url }: PutSteps<Shown>, key: string, reason: string): CdhError {
  return new CdhError("CDH_STORE_MISMATCH", `cannot store ${key} in ${url}: ${reason}`, {
    hint: "it will be sent again; when it stays so, the store or something before it changes what is sent",
  });
}
