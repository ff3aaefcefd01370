/*
 * Mounts a file system on a directory that answers nothing: whoever looks into it waits, as on a disk or a server that
 * is gone. Ends, and unmounts it, when its stdin ends.
 *
 *   hang DIR
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <unistd.h>

int main(int argc, char **argv) {
  char options[64], byte;
  int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
  if (argc != 2 || fuse < 0) return 2;
  snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fuse);
  if (mount("hang", argv[1], "fuse", MS_NOSUID | MS_NODEV, options) != 0) return 3;
  puts("hangs");
  fflush(stdout);
  while (read(0, &byte, 1) > 0) continue;
  umount2(argv[1], MNT_DETACH);
  return 0;
}
