import type { S3Client } from "@aws-sdk/client-s3";
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../service/log.ts";
import { Requests, type Attempt, type SendOptions } from "../requests.ts";
import { isTransient, otherRegionOf, toStoreError } from "./errors.ts";

/** What one attempt of a request to S3 is given. */
export interface S3Attempt extends Attempt {
  client: S3Client;
}

/** Say how requests are sent. */
export interface S3RequestsOptions {
  clock: Clock;
  log: Logger;
  /** The store, for messages. */
  url: string;
  timeoutMs: number;
  /** The region that the settings name. */
  region: string;
  /** Makes a client for a region. */
  makeClient: (region: string) => S3Client;
}

/**
 * Send requests: each attempt with a deadline, transient failures again after a wait, and every failure as a CdhError.
 * A bucket that says in which region it is gets its requests there from then on.
 */
export class S3Requests {
  readonly #options: S3RequestsOptions;
  readonly #requests: Requests;
  #client: S3Client;
  #region: string;
  /** Each region is tried once, so that two that name each other end. */
  readonly #triedRegions = new Set<string>();
  /** Clients of other regions, whose requests may be under way still. */
  readonly #formerClients: S3Client[] = [];

  constructor(options: S3RequestsOptions) {
    this.#options = options;
    const { clock, url, timeoutMs } = options;
    const translate = (error: unknown, what: string): unknown => toStoreError(error, what, url);
    this.#requests = new Requests({ clock, url, timeoutMs, toStoreError: translate, isTransient });
    this.#region = options.region;
    this.#triedRegions.add(options.region);
    this.#client = options.makeClient(options.region);
  }

  /** The client for the bucket's region, as far as that is known. */
  get client(): S3Client {
    return this.#client;
  }

  /** How long a request may be silent, in milliseconds. */
  get timeoutMs(): number {
    return this.#options.timeoutMs;
  }

  /** Close all connections. */
  close(): void {
    for (const client of [this.#client, ...this.#formerClients]) client.destroy();
  }

  /**
   * Run a request; it is made for each attempt anew, because a body can be read only once.
   * @throws {CdhError} of the CDH_STORE family; the signal's reason when aborted
   */
  async send<Output>(request: (attempt: S3Attempt) => Promise<Output>, options: SendOptions): Promise<Output> {
    for (;;) {
      const sentTo = this.#region;
      try {
        return await this.#requests.send((attempt) => request({ ...attempt, client: this.#client }), options);
      } catch (error) {
        if (!this.#moveTo(otherRegionOf(error), sentTo)) throw error;
      }
    }
  }

  /** Go to the region that an answer named. @returns whether the request is worth another attempt */
  #moveTo(region: string | undefined, sentTo: string): boolean {
    if (region === undefined || region === sentTo) return false;
    // Another request that ran beside this one was faster.
    if (this.#region !== sentTo) return true;
    if (this.#triedRegions.has(region)) return false;
    const { log, url, makeClient } = this.#options;
    log.warn("the bucket is in another region, which is used from now on", {
      store: url,
      region,
      configured: this.#options.region,
      hint: `set S3_REGION=${region}`,
    });
    this.#formerClients.push(this.#client);
    this.#client = makeClient(region);
    this.#triedRegions.add(region);
    this.#region = region;
    return true;
  }
}
