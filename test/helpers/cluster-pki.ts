import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** Paths of a certificate and its private key, both PEM. */
export interface KeyPair {
  cert: string;
  key: string;
}

/** What a certificate is for: a server at these addresses, or a client (the subject tells user and groups). */
export interface Leaf {
  /** As openssl takes it: `/O=system:masters/CN=admin`. */
  subject: string;
  /** Names and addresses of a server: `IP:127.0.0.1`, `DNS:localhost`; none for a client. */
  addresses?: readonly string[];
}

const NEW_KEY = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];

function openssl(args: readonly string[]): void {
  try {
    execFileSync("openssl", args, { stdio: ["ignore", "ignore", "pipe"] });
  } catch (error) {
    throw new Error(`openssl ${args.join(" ")}: ${String((error as { stderr?: Buffer }).stderr)}`, { cause: error });
  }
}

function pathsOf(directory: string, name: string): KeyPair {
  return { cert: join(directory, `${name}.crt`), key: join(directory, `${name}.key`) };
}

/** Make a key pair that vouches for itself, valid for two days. @param extension as openssl takes it */
function makeSelfSigned(directory: string, name: string, extension: string): KeyPair {
  const { cert, key } = pathsOf(directory, name);
  const files = ["-keyout", key, "-out", cert];
  openssl(["req", "-x509", ...NEW_KEY, "-days", "2", "-subj", `/CN=${name}`, ...files, "-addext", extension]);
  return { cert, key };
}

/** Make a certificate authority. @returns its files `NAME.crt` and `NAME.key` */
export function makeAuthority(directory: string, name: string): KeyPair {
  return makeSelfSigned(directory, name, "keyUsage=critical,keyCertSign,cRLSign,digitalSignature");
}

/** Make a server's key pair that vouches for itself. @param address as openssl takes it: `IP:127.0.0.1` */
export function selfSign(directory: string, name: string, address: string): KeyPair {
  return makeSelfSigned(directory, name, `subjectAltName=${address}`);
}

/** Make a key pair that an authority vouches for. @returns its files `NAME.crt` and `NAME.key` */
export function issue(directory: string, name: string, authority: KeyPair, leaf: Leaf): KeyPair {
  const { cert, key } = pathsOf(directory, name);
  const server = leaf.addresses === undefined ? [] : ["-addext", `subjectAltName=${leaf.addresses.join(",")}`];
  openssl(
    ["req", "-x509", "-utf8", ...NEW_KEY, "-days", "2", "-subj", leaf.subject, "-keyout", key, "-out", cert].concat(
      ["-CA", authority.cert, "-CAkey", authority.key, "-addext", "basicConstraints=critical,CA:FALSE"],
      ["-addext", "extendedKeyUsage=clientAuth,serverAuth", ...server],
    ),
  );
  return { cert, key };
}

/**
 * Change bytes of a certificate, such as ones that no tool lets into a subject, and have the authority sign it anew.
 * @param from as long as `to`
 */
export function rewrite(pair: KeyPair, authority: KeyPair, from: string, to: string): void {
  const pem = readFileSync(pair.cert, "utf8");
  const der = Buffer.from(pem.replaceAll(/-----[^-]*-----|\s/g, ""), "base64");
  const changed = Buffer.from(
    der.toString("latin1").replace(from, () => to),
    "latin1",
  );
  if (changed.length !== der.length || changed.equals(der)) throw new Error(`${from} cannot become ${to}`);
  const base64 = changed.toString("base64").replaceAll(/.{64}/g, (line) => `${line}\n`);
  writeFileSync(pair.cert, `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`);
  const again = ["x509", "-in", pair.cert, "-out", pair.cert, "-days", "2"];
  // openssl signs only what vouches for itself: the extensions, which name another issuer, are left out.
  openssl([...again, "-clrext", "-signkey", pair.key]);
  openssl([...again, "-CA", authority.cert, "-CAkey", authority.key]);
}

/** Make the key that signs service account tokens. @returns private key (`key`) and public key (`cert`) */
export function makeTokenKey(directory: string): KeyPair {
  const { key } = pathsOf(directory, "service-accounts");
  const cert = join(directory, "service-accounts.pub");
  openssl(["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-out", key]);
  openssl(["pkey", "-in", key, "-pubout", "-out", cert]);
  return { cert, key };
}

/** How a kubeconfig's user proves who it is. */
export type Credentials = KeyPair | { token: string };

/** Write a kubeconfig with one context, `test`; everything is embedded, so that it works from anywhere. */
export function writeKubeconfig(path: string, url: string, caFile: string, credentials: Credentials): string {
  const base64 = (file: string): string => readFileSync(file).toString("base64");
  const user =
    "token" in credentials
      ? { token: credentials.token }
      : { "client-certificate-data": base64(credentials.cert), "client-key-data": base64(credentials.key) };
  writeFileSync(
    path,
    JSON.stringify({
      apiVersion: "v1",
      kind: "Config",
      clusters: [{ name: "test", cluster: { server: url, "certificate-authority-data": base64(caFile) } }],
      users: [{ name: "test", user }],
      contexts: [{ name: "test", context: { cluster: "test", user: "test" } }],
      "current-context": "test",
    }),
    { mode: 0o600 },
  );
  return path;
}
