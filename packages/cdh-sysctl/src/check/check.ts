/** What one check found, and what to do about it. */
export interface Check {
  id: string;
  /** ok: fine · warning: works, but · failed: capture does not work, or soon will not · skipped: cannot be looked at. */
  outcome: "ok" | "warning" | "failed" | "skipped";
  /** What was found. */
  finding: string;
  advice?: string;
}
