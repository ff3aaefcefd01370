import {
  BlobSASPermissions,
  SASProtocol,
  generateBlobSASQueryParameters,
  type UserDelegationKey,
} from "@azure/storage-blob";
import type { Clock } from "../../base/clock.ts";
import { CdhError } from "../../base/errors.ts";
import type { PresignOptions } from "../store.ts";
import type { AzureClient } from "./client.ts";
import type { AzureContainer } from "./container.ts";
import type { AzureTarget } from "./target.ts";

/** A user-delegation key serves many links; Azure gives it for a week at most. */
const DELEGATION_MS = 24 * 3600_000;
/** Clocks differ: a link is valid from this long ago. */
const SKEW_MS = 5 * 60_000;

/**
 * Make URLs that read one blob for a while: signed with the account's key, or with a user-delegation key, which the
 * service gives for a token. A shared access signature cannot sign another.
 * @see https://learn.microsoft.com/rest/api/storageservices/create-user-delegation-sas
 */
export class AzureLinks {
  readonly #client: AzureClient;
  readonly #container: AzureContainer;
  readonly #target: AzureTarget;
  readonly #clock: Clock;
  #delegation: UserDelegationKey | undefined;

  constructor(client: AzureClient, container: AzureContainer, target: AzureTarget, clock: Clock) {
    this.#client = client;
    this.#container = container;
    this.#target = target;
    this.#clock = clock;
  }

  /** Tell whether links can be made with these credentials. */
  static canSign(client: AzureClient): boolean {
    return client.key !== undefined || client.hasToken;
  }

  /** Make a link. @throws {CdhError} CDH_STORE_DENIED when the identity may not make user-delegation keys */
  async presign(key: string, { lifetimeSeconds, fileName }: PresignOptions): Promise<string> {
    const blob = this.#container.blob(key);
    const now = this.#clock.now();
    const values = {
      containerName: this.#target.container,
      blobName: blob.name,
      permissions: BlobSASPermissions.parse("r"),
      startsOn: new Date(now - SKEW_MS),
      expiresOn: new Date(now + lifetimeSeconds * 1000),
      contentDisposition: `attachment; filename="${fileName.replaceAll(/[^\w.-]/g, "_")}"`,
      contentType: "application/zip",
      ...(blob.url.startsWith("https:") ? { protocol: SASProtocol.Https } : {}),
    };
    const { key: accountKey } = this.#client;
    const query =
      accountKey === undefined
        ? generateBlobSASQueryParameters(
            values,
            await this.#delegationKey(now + lifetimeSeconds * 1000),
            this.#target.account,
          )
        : generateBlobSASQueryParameters(values, accountKey);
    return `${blob.url}?${query.toString()}`;
  }

  async #delegationKey(neededUntil: number): Promise<UserDelegationKey> {
    if (this.#delegation !== undefined && this.#delegation.signedExpiresOn.getTime() >= neededUntil)
      return this.#delegation;
    const from = new Date(this.#clock.now() - SKEW_MS);
    const until = new Date(Math.max(neededUntil, this.#clock.now() + DELEGATION_MS));
    if (until.getTime() - from.getTime() > 7 * DELEGATION_MS)
      throw new CdhError("CDH_STORE_REFUSED", "cannot sign a link: Azure signs with a token for a week at most");
    this.#delegation = await this.#container.requests.send(
      ({ abortSignal }) => this.#client.service.getUserDelegationKey(from, until, { abortSignal }),
      { what: "sign a link" },
    );
    return this.#delegation;
  }
}
