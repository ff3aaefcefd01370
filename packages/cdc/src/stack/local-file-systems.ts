const LOCAL = new Set(
  "overlay ext2 ext3 ext4 xfs btrfs tmpfs ramfs rootfs squashfs erofs f2fs zfs bcachefs jfs iso9660 vfat exfat udf composefs shmem hugetlbfs".split(
    " ",
  ),
);

/**
 * Tell whether this machine reads the files of such a file system by itself. Whoever makes another one, a FUSE daemon or a
 * server, decides when a read ends, and may be the one who crashed. @param type as mountinfo has it
 */
export function isLocal(type: string | undefined): boolean {
  return type !== undefined && LOCAL.has(type);
}
