import type { Target } from "./target.ts";
import { bundleTarget, seekTableTarget } from "./targets/bundle.ts";
import { certificateTarget } from "./targets/certificate.ts";
import { cgroupTarget } from "./targets/cgroup.ts";
import { coreTarget } from "./targets/core.ts";
import { goroutinesTarget } from "./targets/goroutines.ts";
import { kernelWordsTarget } from "./targets/kernel-words.ts";
import { listingTarget } from "./targets/listing.ts";
import { jsonTarget, manifestTarget } from "./targets/manifest.ts";
import { namesTarget } from "./targets/names.ts";
import { procTextTarget } from "./targets/proc-text.ts";
import { programsTarget } from "./targets/programs.ts";
import { pythonTarget } from "./targets/python.ts";
import { recordsTarget } from "./targets/records.ts";
import { roundTripTarget } from "./targets/round-trip.ts";
import { textsTarget } from "./targets/texts.ts";

/** Everything that is hunted in. */
export const targets: readonly Target[] = [
  kernelWordsTarget,
  procTextTarget,
  cgroupTarget,
  recordsTarget,
  coreTarget,
  jsonTarget,
  manifestTarget,
  seekTableTarget,
  bundleTarget,
  roundTripTarget,
  certificateTarget,
  namesTarget,
  textsTarget,
  listingTarget,
  goroutinesTarget,
  pythonTarget,
  programsTarget,
];
