import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";

/** Say why pages cannot be looked at on this machine; undefined when they can. */
export function noBrowser(): string | undefined {
  try {
    execFileSync("chromium", ["--version"], { stdio: "ignore" });
    return undefined;
  } catch {
    return "chromium is not on this machine (Debian's package chromium)";
  }
}

/** A message of Chrome's devtools protocol. @see https://chromedevtools.github.io/devtools-protocol/ */
interface Message {
  id?: number;
  method?: string;
  sessionId?: string;
  params?: Record<string, unknown>;
  result?: Record<string, unknown>;
  error?: { message: string };
}

/** How a page is looked at. */
export interface PageOptions {
  width?: number;
  height?: number;
  scheme?: "light" | "dark";
}

/** A headless Chromium that ends with this process, driven over a pipe. */
export class Browser implements AsyncDisposable {
  readonly #child: ChildProcess;
  readonly #profile: string;
  readonly #waiting = new Map<number, (message: Message) => void>();
  readonly #listeners = new Map<string, (message: Message) => void>();
  #next = 1;
  #rest = "";

  private constructor(child: ChildProcess, profile: string) {
    this.#child = child;
    this.#profile = profile;
    (child.stdio[4] as Readable).setEncoding("utf8").on("data", (text: string) => this.#read(text));
  }

  /** Start it. The pipe's end is Chromium's own signal to go, so that none is ever left behind. */
  static start(): Browser {
    const profile = mkdtempSync(join(tmpdir(), "cdh-chromium-"));
    const child = spawn(
      "chromium",
      [
        "--headless=new",
        "--remote-debugging-pipe",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
        "--hide-scrollbars",
        "--ignore-certificate-errors",
        `--user-data-dir=${profile}`,
        "about:blank",
      ],
      { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] },
    );
    return new Browser(child, profile);
  }

  /** Send a command and wait for its answer. @throws {Error} what Chromium says is wrong with it */
  async send(method: string, params: object = {}, sessionId?: string): Promise<Record<string, unknown>> {
    const id = this.#next++;
    const text = JSON.stringify({ id, method, params, ...(sessionId === undefined ? {} : { sessionId }) });
    const answer = await new Promise<Message>((resolve) => {
      this.#waiting.set(id, resolve);
      (this.#child.stdio[3] as Writable).write(`${text}\0`);
    });
    if (answer.error !== undefined) throw new Error(`${method}: ${answer.error.message}`);
    return answer.result ?? {};
  }

  /** Open a page of its own, with nothing kept from others. */
  async open(options: PageOptions = {}): Promise<Page> {
    const { browserContextId } = await this.send("Target.createBrowserContext");
    const { targetId } = await this.send("Target.createTarget", { url: "about:blank", browserContextId });
    const { sessionId } = await this.send("Target.attachToTarget", { targetId, flatten: true });
    const page = new Page(this, sessionId as string);
    this.#listeners.set(sessionId as string, (message) => page.hear(message.method ?? "", message.params ?? {}));
    await page.prepare(options);
    return page;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = this.#child.exitCode === null ? once(this.#child, "exit") : undefined;
    this.#child.kill("SIGTERM");
    await gone;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }

  #read(text: string): void {
    const parts = (this.#rest + text).split("\0");
    this.#rest = parts.pop() ?? "";
    for (const part of parts) {
      const message = JSON.parse(part) as Message;
      if (message.id === undefined) this.#listeners.get(message.sessionId ?? "")?.(message);
      else {
        this.#waiting.get(message.id)?.(message);
        this.#waiting.delete(message.id);
      }
    }
  }
}

/** One page: what it asked for, what it complained of, what it shows. */
export class Page {
  /** Every URL that was asked for, in order. */
  readonly requests: string[] = [];
  /** Whatever Chromium or the page wrote to the console as an error, violations of the policy included. */
  readonly complaints: string[] = [];
  readonly #browser: Browser;
  readonly #session: string;
  #loaded: (() => void) | undefined;

  constructor(browser: Browser, session: string) {
    this.#browser = browser;
    this.#session = session;
  }

  send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    return this.#browser.send(method, params, this.#session);
  }

  async prepare({ width = 1280, height = 900, scheme = "light" }: PageOptions): Promise<void> {
    for (const domain of ["Page", "Runtime", "Network", "Log", "Audits"]) await this.send(`${domain}.enable`);
    await this.look({ width, height, scheme });
  }

  /** Change the size of the window or the preferred colours. */
  async look({ width = 1280, height = 900, scheme = "light" }: PageOptions): Promise<void> {
    await this.send("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    await this.send("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
  }

  hear(method: string, params: Record<string, unknown>): void {
    if (method === "Page.loadEventFired") this.#loaded?.();
    if (method === "Network.requestWillBeSent") this.requests.push((params["request"] as { url: string }).url);
    if (method === "Log.entryAdded") {
      const entry = params["entry"] as { level: string; source: string; text: string };
      // A refused request is the page's own business: it shows it.
      if (entry.level === "error" && entry.source !== "network") this.complaints.push(entry.text);
    }
    if (method === "Runtime.exceptionThrown") this.complaints.push(JSON.stringify(params["exceptionDetails"]));
    if (method === "Audits.issueAdded") {
      const issue = params["issue"] as { code: string };
      if (issue.code.includes("ContentSecurityPolicy")) this.complaints.push(JSON.stringify(issue));
    }
  }

  /** Go to a URL and wait until it is loaded. */
  async goto(url: string): Promise<void> {
    const loaded = new Promise<void>((resolve) => {
      this.#loaded = resolve;
    });
    await this.send("Page.navigate", { url });
    await loaded;
  }

  /** Evaluate an expression in the page; a promise is waited for. @throws {Error} what it throws */
  async evaluate<Value>(expression: string): Promise<Value> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: Value }).value;
  }

  /** Wait until an expression is true, looking at every frame. @throws {Error} when it does not become so in time */
  async until(expression: string, timeoutMs = 30_000): Promise<void> {
    const isSo = await this.evaluate<boolean>(
      `new Promise((resolve) => {
        const end = performance.now() + ${timeoutMs};
        const look = () => {
          let is = false;
          try { is = Boolean(${expression}); } catch {}
          if (is || performance.now() > end) resolve(is);
          else setTimeout(look, 20);
        };
        look();
      })`,
    );
    if (isSo) return;
    const text = await this.evaluate<string>("document.body.innerText.slice(0, 2000)");
    throw new Error(`never so: ${expression}\n${this.complaints.join("\n")}\n${text}`);
  }

  /** Press a key: one character, or a name such as `Enter`. */
  async press(key: string): Promise<void> {
    const text = key === "Enter" ? "\r" : key.length === 1 ? key : undefined;
    const codes: Record<string, number> = { Enter: 13, Escape: 27, Tab: 9, ArrowDown: 40, ArrowUp: 38, Backspace: 8 };
    const event = {
      key,
      windowsVirtualKeyCode: codes[key] ?? key.toUpperCase().charCodeAt(0),
      ...(text === undefined ? {} : { text }),
    };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...event });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...event });
  }

  /** Type a text where the focus is. */
  async type(text: string): Promise<void> {
    await this.send("Input.insertText", { text });
  }

  /** Take a picture as PNG. */
  async picture(options: { whole?: boolean } = {}): Promise<Buffer> {
    const { data } = await this.send("Page.captureScreenshot", {
      format: "png",
      captureBeyondViewport: options.whole === true,
    });
    return Buffer.from(data as string, "base64");
  }
}
