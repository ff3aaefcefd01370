/** Why a stack ends where no address says more, for people. Kinds of ends are the walker's and the manifest's. */
export const STACK_ENDS = {
  loop: "the same frame would come once more",
  limit: "more frames than are walked",
  machine: "stacks of this machine are not walked",
} as const;
