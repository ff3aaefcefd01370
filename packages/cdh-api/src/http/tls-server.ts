import { constants } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer, type Server } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { createSecureContext, type TLSSocket } from "node:tls";
import { timerMs, type Clock } from "@cdh/core/clock";
import { CdhError, reasonOf } from "@cdh/core/errors";
import { parseListenAddress } from "@cdh/core/http-server";
import type { Logger } from "@cdh/core/log";
import { CONNECTIONS_MAX, type Connections } from "./connections.ts";

/** Certificates are replaced without a signal; this often somebody looks. */
const LOOK_MS = 5000;

/** Where certificate and key are. */
export interface TlsFiles {
  certFile: string;
  keyFile: string;
}

/** Certificate and key as they are in the files. */
interface TlsPair {
  cert: string;
  key: string;
}

/** What the server needs. */
export interface TlsServerOptions {
  files: TlsFiles;
  clock: Clock;
  log: Logger;
  answer: (request: IncomingMessage, response: ServerResponse) => void;
  connections: Connections;
  /** Told when the key is another one. */
  onKey?: (keyPem: string) => void;
}

/** Read certificate and key, and see that they fit. @throws {CdhError} CDH_CONFIG_INVALID */
export async function readTlsPair(files: TlsFiles): Promise<TlsPair> {
  try {
    const pair = { cert: await readFile(files.certFile, "utf8"), key: await readFile(files.keyFile, "utf8") };
    createSecureContext(pair);
    return pair;
  } catch (error) {
    throw new CdhError(
      "CDH_CONFIG_INVALID",
      `cannot use TLS_CERT_FILE ${files.certFile} and TLS_KEY_FILE ${files.keyFile}: ${reasonOf(error)}`,
      { cause: error },
    );
  }
}

/**
 * Serve HTTPS. Client certificates are asked for and never demanded: only the front proxy has one, and whether it is good
 * is for who reads it to say.
 */
export class TlsServer {
  readonly #options: TlsServerOptions;
  readonly #server: Server;
  #pair: TlsPair;
  #clientAuthorities: string | undefined;

  constructor(pair: TlsPair, options: TlsServerOptions) {
    this.#pair = pair;
    this.#options = options;
    this.#server = createServer(
      {
        ...this.#context(),
        requestCert: true,
        rejectUnauthorized: false,
        ALPNProtocols: ["http/1.1"],
        maxHeaderSize: 32 * 1024,
        headersTimeout: 10_000,
        requestTimeout: 30_000,
        keepAliveTimeout: 90_000,
        handshakeTimeout: 10_000,
        connectionsCheckingInterval: 2000,
        noDelay: true,
      },
      options.answer,
    );
    this.#server.maxConnections = CONNECTIONS_MAX;
    this.#server.on("tlsClientError", () => {});
    this.#server.on("connection", (socket: Socket) => options.connections.accept(socket));
    this.#server.on("secureConnection", (socket: TLSSocket) => options.connections.secured(socket));
  }

  /** Listen. @throws {CdhError} CDH_ENVIRONMENT */
  async listen(address: string): Promise<{ host: string; port: number }> {
    const { host, port } = parseListenAddress(address);
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (error) => {
        reject(new CdhError("CDH_ENVIRONMENT", `cannot listen on ${address}: ${reasonOf(error)}`, { cause: error }));
      });
      this.#server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve);
    });
    const bound = this.#server.address() as AddressInfo;
    return { host: bound.address, port: bound.port };
  }

  /** Check client certificates against these authorities from now on. */
  setClientAuthorities(caPem: string): void {
    this.#clientAuthorities = caPem;
    this.#server.setSecureContext(this.#context());
  }

  /** Take a new certificate as soon as it is there, until told to stop. */
  async followFiles(stopSignal: AbortSignal): Promise<void> {
    const { clock, files, log, onKey } = this.#options;
    let trouble: string | undefined;
    while (!stopSignal.aborted) {
      await clock.sleep(LOOK_MS, stopSignal).catch(() => {});
      if (stopSignal.aborted) return;
      try {
        const pair = await readTlsPair(files);
        trouble = undefined;
        if (pair.cert === this.#pair.cert && pair.key === this.#pair.key) continue;
        this.#pair = pair;
        this.#server.setSecureContext(this.#context());
        onKey?.(pair.key);
        log.info("the certificate was replaced");
      } catch (error) {
        // Files that are being replaced may not fit for a moment; the old pair serves on.
        if (trouble !== reasonOf(error)) log.warn("cannot take the new certificate", { reason: reasonOf(error) });
        trouble = reasonOf(error);
      }
    }
  }

  /** Take no more connections, let what runs end, and cut off what is left after a while. */
  async close(graceMs: number): Promise<void> {
    const closed = new Promise<void>((resolve) => void this.#server.close(() => resolve()));
    this.#server.closeIdleConnections();
    const timer = setTimeout(() => this.#server.closeAllConnections(), timerMs(graceMs));
    await closed;
    clearTimeout(timer);
  }

  #context(): Record<string, unknown> {
    return {
      ...this.#pair,
      minVersion: "TLSv1.2",
      // Resumed sessions are not checked again.
      secureOptions: constants.SSL_OP_NO_TICKET,
      ...(this.#clientAuthorities === undefined ? {} : { ca: this.#clientAuthorities }),
    };
  }
}
