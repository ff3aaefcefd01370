import type { DefaultAzureCredentialOptions } from "@azure/identity";
import { readAnswer } from "../answers.ts";

/** A step of the library's pipeline. */
export type PipelinePolicy = NonNullable<DefaultAzureCredentialOptions["additionalPolicies"]>[number]["policy"];
type Request = Parameters<PipelinePolicy["sendRequest"]>[0];

/** Any status: the library has no word for it. */
const EVERY_STATUS: ReadonlySet<number> = new Set([Number.POSITIVE_INFINITY]);

/**
 * Bound what the library reads into memory before it parses it: it is given every answer as a stream, and what it would
 * have read whole is read here. An object's content stays a stream.
 */
export const boundAnswers: PipelinePolicy = {
  name: "cdhBoundAnswersPolicy",
  sendRequest: async (request, next) => {
    const streamed = request.streamResponseStatusCodes;
    request.streamResponseStatusCodes = new Set(EVERY_STATUS);
    // What comes after this step asks the request what was wanted.
    const answer = await next(request).finally(() => restore(request, streamed));
    const body = answer.readableStreamBody;
    const isContent = streamed?.has(answer.status) === true || streamed?.has(Number.POSITIVE_INFINITY) === true;
    if (isContent || body === undefined) return answer;
    delete answer.readableStreamBody;
    answer.bodyAsText = await readAnswer(body as unknown as AsyncIterable<unknown>);
    return answer;
  },
};

function restore(request: Request, streamed: Request["streamResponseStatusCodes"]): void {
  if (streamed === undefined) delete request.streamResponseStatusCodes;
  else request.streamResponseStatusCodes = streamed;
}
