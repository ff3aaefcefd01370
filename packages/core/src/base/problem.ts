import { optional, shape, type TypeOf } from "./shape.ts";

/** Record something that could not be learnt or done, and why. */
export const PROBLEM_FIELDS = shape({
  step: "text",
  code: "text",
  detail: optional("text"),
});

/** Something that could not be learnt or done. @see PROBLEM_FIELDS */
export type Problem = TypeOf<typeof PROBLEM_FIELDS>;
