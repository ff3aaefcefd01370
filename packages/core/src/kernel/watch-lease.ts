/**
 * The file in HOST_DIR that `cdh-sysctl watch` touches while it looks after the handler. Its time of change is the lease's
 * begin, its text says which watch holds it. Without the file there is no lease: what was installed by hand needs nobody.
 */
export const LEASE_NAME = ".watch-lease";

/** The file in HOST_DIR by which a composer notes that it found the lease expired. */
export const LEASE_EXPIRED_NAME = ".watch-lease-expired";

/** How often a watch touches its lease, in ms. */
export const LEASE_RENEWAL_MS = 60_000;
