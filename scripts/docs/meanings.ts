import type { ErrorCode } from "@cdh/core/errors";

/** When each code is thrown. */
export const CODE_MEANINGS: Readonly<Record<ErrorCode, string>> = {
  CDH_CONFIG_INVALID: "A setting or flag can't be read, or two of them don't go together.",
  CDH_PATTERN_TOO_LONG:
    "The kernel keeps 127 bytes of a core pattern, and ours would be longer: choose a shorter HOST_DIR.",
  CDH_NOT_ROOT: "It needs to be root on the node.",
  CDH_NOT_LINUX: "It needs a Linux kernel.",
  CDH_PROC_READ_ONLY: "A kernel setting can't be written: /proc/sys is read-only, or the container is not privileged.",
  CDH_ENVIRONMENT:
    "The machine does not allow it: a directory that others can write, a noexec mount, a composer that does not run.",
  CDH_NOT_FOUND: "What was asked for is not there.",
  CDH_SPOOL_FULL: "The spool's disk is full.",
  CDH_DISK: "A local file could not be read or written, for another reason than a full disk.",
  CDH_RUNTIME: "A container tool or a debugger could not be started, or failed.",
  CDH_STORE_DENIED: "The store denies it: wrong or missing rights, keys or token.",
  CDH_STORE_UNREACHABLE: "The store does not answer: address, network, certificate, a time-out.",
  CDH_STORE_CONFLICT: "Other content lies under the same key. It is not overwritten.",
  CDH_STORE_MISMATCH: "What the store has is not what was sent.",
  CDH_STORE_REFUSED: "The store takes no such object: key, size or metadata.",
  CDH_STORE: "The store failed otherwise; the message has its words.",
  CDH_DAMAGED: "Data is damaged, and no other code says how.",
  CDH_BUNDLE_NOT_ZIP: "The file is no zip.",
  CDH_BUNDLE_CUT_SHORT: "The file ends before its data does.",
  CDH_BUNDLE_DIRECTORY: "The zip's directory can't be trusted.",
  CDH_BUNDLE_NAME: "An entry's name is not safe: absolute, `..`, a control character.",
  CDH_BUNDLE_SPECIAL: "An entry is a link, a directory or a device.",
  CDH_BUNDLE_DUPLICATE: "Two entries have one name.",
  CDH_BUNDLE_OVERLAP: "Two entries share bytes of the file.",
  CDH_BUNDLE_ENCRYPTED: "An entry is encrypted by the zip's own means.",
  CDH_BUNDLE_METHOD: "An entry is compressed by a method that bundles don't use.",
  CDH_BUNDLE_HEADER: "An entry's own header contradicts the directory.",
  CDH_BUNDLE_SIZE: "An entry has another size than it says, or one that can't be.",
  CDH_BUNDLE_CRC: "An entry's CRC-32 is wrong.",
  CDH_BUNDLE_DATA: "Compressed data can't be decoded.",
  CDH_BUNDLE_TOO_MANY: "The zip has more entries, or a larger directory, than any bundle.",
  CDH_BUNDLE_ENTRY_TOO_LARGE: "An entry that should be small is too large to be read into memory.",
  CDH_BUNDLE_BOMB: "The data would decode to far more than a bundle of its size can hold.",
  CDH_BUNDLE_JSON: "An entry holds no valid JSON, or too much of it.",
  CDH_BUNDLE_SCHEMA: "The manifest is of another schema version, or not of its shape.",
  CDH_BUNDLE_SEEK_TABLE: "The seek table of the core contradicts its frames.",
  CDH_BUNDLE_HASH: "The core's SHA-256 is not the manifest's.",
  CDH_BUNDLE_NO_CORE: "The bundle holds no core.",
  CDH_PATTERN_NOT_OURS: "The kernel's core pattern is not ours, and is left alone.",
  CDH_NOT_APPLIED: "The kernel holds another value after ours was written, or a value could not be given back.",
  CDH_DEADLINE: "It took longer than allowed.",
};

/**
 * Codes that stand only in `problems` of a manifest: something could not be learnt, and the crash was kept all the
 * same. A test holds this list against the sources.
 */
export const PROBLEM_MEANINGS: Readonly<Record<string, string>> = {
  CDH_ARGUMENT_EXCESS: "The kernel's line had more words than any line of ours.",
  CDH_ARGUMENT_INVALID: "A word of the kernel's line is not of its kind, such as a pid that is no number.",
  CDH_ARGUMENT_MISSING: "A word of the kernel's line has no value.",
  CDH_ARGUMENT_REPEATED: "A flag came twice with different values; neither is believed.",
  CDH_CGROUP_AMBIGUOUS: "The cgroup's hierarchies name different containers: attributed to nobody.",
  CDH_CGROUP_FOREIGN:
    "The cgroup lies below a user's, a machine's or another container's, where any name can be made: its ids are not looked up.",
  CDH_CHAIN_IMPOSSIBLE: "`HOST_CRASHES=chain`, but there is no handler to hand the core on to: it is kept here.",
  CDH_CORE_COMPRESSED: "A plain core that was taken up is compressed in a way that is not read here.",
  CDH_CORE_DAMAGED: "The core's headers or notes are cut short or contradict themselves; what could be read is there.",
  CDH_CORE_EMPTY: "Not a byte of core arrived.",
  CDH_CORE_FILES:
    "The core does not list all files that were mapped (over kernel.core_file_note_size_limit, or of a writer that lists none), and /proc did not tell them; modules that are there were found in memory.",
  CDH_CORE_LIMIT: "The core has more segments, threads or notes than are listed.",
  CDH_CORE_NOT_CORE: "It is an ELF file, but no core.",
  CDH_CORE_NOT_ELF: "What arrived does not start as an ELF file.",
  CDH_CRICTL_ANSWER: "crictl answered something that can't be used.",
  CDH_CRICTL_FAILED: "crictl ended with an error.",
  CDH_CRICTL_NOT_FOUND: "There is no crictl on the node.",
  CDH_CRICTL_NOT_STARTED: "crictl could not be started.",
  CDH_CRICTL_TIMEOUT: "crictl gave no answer in time and was killed.",
  CDH_CRICTL_TOO_LONG: "crictl answered more than 4 MiB.",
  CDH_RATE_LIMIT_INEXACT:
    "A rate limit was not counted exactly: other composers held the counts for half a second, or the spool took none. No more crashes are kept than twice the limit; where the spool takes no counts at all the crash is kept.",
  CDH_STACK_BUSY: "Other crashes' stacks were read on the node all the time; two at once are.",
  CDH_STACK_DEADLINE: "Stacks were not read in time, or not all: 5 s of a processor, 15 s in all.",
  CDH_STACK_FAILED: "The stacks could not be read: of a process that is gone, by a reader that failed.",
  CDH_STACK_FILES:
    "Files that the process had mapped could not be read for the stacks, or are on a file system that others decide on, such as FUSE: names may be missing.",
  CDH_STACK_NOT_READ:
    "An imported core, or one whose composer died: the process's files were not at hand to name its functions. `cdh-inspect bt` reads the stacks.",
  CDH_STACK_MEMORY: "Reading the stacks took more memory than it may.",
  CDH_CUT: "A file of /proc, a log, a list of the manifest or an entry was longer than what is kept of it.",
  CDH_HOSTNAME_SHARED: "Several pods have the host name by which this one was found.",
  CDH_IDENTITY_CONTRADICTED: "A record names another pod than the cgroup: it is not believed.",
  CDH_KERNEL_STOPPED: "The kernel stopped writing the core before its end; the detail says why that may be.",
  CDH_NO_IDENTITY: "Neither files nor crictl could say which pod it was.",
  CDH_NO_PID: "The kernel's line has no `-P`: there is no process to look at.",
  CDH_JOURNAL_RECORD:
    "The journal has no record of systemd-coredump's own of this core, or could not be read: the pod is not known by its cgroup.",
  CDH_SELECTOR_UNKNOWN:
    "The labels of the pod could not be learnt, so POD_SELECTOR_LABEL was not applied; the dump is kept.",
  CDH_NOT_KUBERNETES: "The runtime knows the container, but no pod of it.",
  CDH_PROCESS_DOUBTFUL: "The process under this pid may be another one than the crashed: attributed to nobody.",
  CDH_PROCESS_ENDED: "The process had ended before it was looked at; its pod is known by its cgroup alone.",
  CDH_SALVAGED: "The composer died; the uploader finished what it had written.",
  CDH_TAKE_DIFFERS:
    "The process's memory and the kernel's pipe gave different bytes (`TAKE=check`); the core is what the memory gave.",
  CDH_UNREADABLE: "A file could not be read.",
};
