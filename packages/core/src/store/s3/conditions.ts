import { causeOf } from "../requests.ts";
import { readServiceError } from "./errors.ts";

/** Know whether the service understands If-None-Match, and what it does with it. */
export class S3Conditions {
  /** Services that do not know it say so once. */
  areKnown = true;
  /** Whether it was seen to refuse what lies there already; others ignore the header. Undefined: not seen yet. */
  refusalProven: boolean | undefined;

  /** Send with the condition, and without it from then on when the service does not know it. */
  async send<Input extends { IfNoneMatch?: string | undefined }, Output>(
    input: Input,
    send: (input: Input) => Promise<Output>,
  ): Promise<Output> {
    const { IfNoneMatch, ...plain } = input;
    // Without the condition it is still the same kind of input.
    const unconditional = plain as Input;
    if (IfNoneMatch === undefined || !this.areKnown) return await send(unconditional);
    try {
      return await send(input);
    } catch (error) {
      const { s3Code, httpStatus } = readServiceError(causeOf(error));
      if (httpStatus !== 501 && s3Code !== "NotImplemented") throw error;
      this.areKnown = false;
      return await send(unconditional);
    }
  }
}
