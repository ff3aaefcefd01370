/** A mapped file that may be kept. */
export interface WantedFile {
  /** As the packer inherits it. */
  fd: number;
  /** As the core has it. The file itself has to say the same. */
  buildId: string;
  /** The file has no build-id, and its SHA-256 stands for one. */
  isHash: boolean;
  /** Without folders. */
  name: string;
}

/** What a packer is asked for, on its standard input. */
export interface PackRequest {
  /** Pid of the composer that asks: without it nothing is packed. */
  composer: number;
  coreDir: string;
  /** Of the pod, where the node has proven it. */
  namespace?: string;
  /** Bytes of one file, and of all of a crash together. */
  maxBytes: number;
  /** What must stay free of the file system, in bytes, for the next crashes. */
  keepFreeBytes: number;
  /** Likewise, inodes. */
  keepFreeInodes: number;
  files: WantedFile[];
}

/** What a packer did, on its standard output. */
export interface PackAnswer {
  /** Files that were added to the spool, and their packed bytes. */
  files: number;
  storedBytes: number;
  /** Why files were left out; at most a few. */
  leftOut: string[];
}
