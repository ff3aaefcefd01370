/** A metrics page of cdh-sysctl, with what `status` reads. */
export function nodePage(healthy: number, version = "0.1.0", drift = 0): string {
  return `# HELP cdh_sysctl_healthy 1 while the kernel hands crashes to a composer that works.
# TYPE cdh_sysctl_healthy gauge
cdh_sysctl_healthy ${healthy}
cdh_sysctl_composer_info{version="${version}",sha256="ab\\"c"} 1
cdh_sysctl_drift_total{what="core_pattern"} ${drift}
cdh_sysctl_drift_total{what="composer"} 1
cdh_sysctl_last_check_timestamp_seconds 1.79525e9
`;
}

/** A metrics page of cdh-upload. @param uploadedAt epoch seconds; 0 for never */
export function uploadPage(bundles: number, uploadedAt: number): string {
  return `cdh_spool_bundles ${bundles}
cdh_spool_bytes ${bundles * 1_048_576}
cdh_spool_oldest_age_seconds ${bundles === 0 ? 0 : 300}
cdh_quarantine_bundles 0
cdh_store_available 1
cdh_upload_last_success_timestamp_seconds ${uploadedAt}
`;
}
