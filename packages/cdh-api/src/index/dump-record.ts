/** What the index keeps of one dump. Never changed once it is in the index: what changes is replaced. */
export interface DumpRecord {
  /** Key of the bundle in the store without `.zip`. */
  readonly stem: string;
  /** Opaque id: `metadata.name`. */
  readonly name: string;
  /** Where it is shown, which is not always where it claims to be from. */
  readonly namespace: string;
  /** Tells one state of the manifest's object from another. */
  readonly manifestStamp: string;
  /** Absent while the store shows no bundle beside the manifest. */
  readonly bundleBytes: number | undefined;
  /** Epoch milliseconds. */
  readonly storedAt: number;
  readonly keep: boolean;
  /** Kubernetes' resourceVersion. */
  readonly revision: number;
  /** Epoch milliseconds. */
  readonly crashedAt: number;
  readonly pid: number | undefined;
  readonly uid: number | undefined;
  readonly comm: string | undefined;
  readonly exe: string | undefined;
  readonly signalNumber: number;
  readonly signalName: string;
  readonly codeName: string | undefined;
  readonly faultAddress: string | undefined;
  readonly containerName: string | undefined;
  readonly imageRef: string | undefined;
  readonly restartCount: number | undefined;
  readonly podName: string | undefined;
  readonly podNamespace: string | undefined;
  readonly podUid: string | undefined;
  readonly ownerKind: string | undefined;
  readonly ownerName: string | undefined;
  readonly nodeName: string | undefined;
  readonly clusterName: string | undefined;
  readonly architecture: string | undefined;
  readonly compression: string;
  readonly coreBytes: number;
  readonly coreStoredBytes: number;
  readonly expectedBytes: number | undefined;
  readonly complete: boolean;
  readonly truncatedBy: string | undefined;
  readonly identitySource: string | undefined;
  readonly identityVerified: boolean | undefined;
  readonly restricted: boolean;
  readonly suppressedCount: number | undefined;
  /** Of a report that stands for crashes that a limit left out: when the first of them was, epoch milliseconds. */
  readonly countedSince: number | undefined;
  readonly problemCount: number;
  /** Why and where, in one line; empty when nothing tells. */
  readonly summary: string;
  /** Where alone. */
  readonly where: string | undefined;
  /** Where in its files it happened, hashed; the same for one bug in one build. */
  readonly site: string | undefined;
  /** Functions in which it happened; the same for one bug in all builds. */
  readonly signature: string | undefined;
  /** The pod itself asked for it to be kept. */
  readonly keepByPod: boolean;
}
