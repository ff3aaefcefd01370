import type { S3Client } from "@aws-sdk/client-s3";
import { boundedBody } from "../answers.ts";

interface Answer {
  statusCode?: number;
  body?: NodeJS.ReadableStream;
}

/**
 * Bound what the SDK reads into memory before it parses it: every answer but the body of an object, which is handed on as
 * a stream. A server whose answer never ends would otherwise take five times as much memory as it sends.
 */
export function boundAnswers(client: S3Client): void {
  client.middlewareStack.add(
    (next, context) => async (args) => {
      const result = await next(args);
      const answer = result.response as Answer;
      const isContent = context["commandName"] === "GetObjectCommand" && (answer.statusCode ?? 0) < 300;
      if (!isContent && answer.body !== undefined) answer.body = boundedBody(answer.body);
      return result;
    },
    // Nearest to the connection: what the SDK makes of the body comes after it.
    { name: "boundAnswers", step: "deserialize", priority: "low" },
  );
}
