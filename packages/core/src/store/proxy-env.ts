/**
 * Addresses that give out the node's or the pod's own identity. They answer only where the program runs, and a proxy that
 * was asked for them would hand out its own identity, or ours to whoever reads its log.
 */
const METADATA_HOSTS = ["169.254.169.254", "169.254.170.2", "169.254.170.23", "fd00:ec2::254"].concat([
  // Google's library writes it with a dot at its end.
  "metadata.google.internal",
  "metadata.google.internal.",
  "metadata",
]);

/** The variables that name a proxy. */
export type ProxyEnv = Partial<Record<"HTTP_PROXY" | "HTTPS_PROXY", string>> & Record<"NO_PROXY", string>;

/**
 * Read the variables that name a proxy, and add the metadata addresses to what is reached directly. Where a variable is
 * set in both cases the lower one counts, as in curl.
 */
export function proxyEnv(env: Readonly<Record<string, string | undefined>>): ProxyEnv {
  const [http, https, direct] = ["http_proxy", "https_proxy", "no_proxy"].map(
    (name) => env[name] ?? env[name.toUpperCase()],
  );
  return {
    ...(http === undefined ? {} : { HTTP_PROXY: http }),
    ...(https === undefined ? {} : { HTTPS_PROXY: https }),
    NO_PROXY: [...(direct === undefined || direct === "" ? [] : [direct]), ...METADATA_HOSTS].join(","),
  };
}
