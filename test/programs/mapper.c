/*
 * mapper FILE COUNT: map a file of 20 KiB COUNT times, touch every page so that the core holds it, and abort. An
 * ordinary program of an ordinary pod can do it with a file that it wrote itself.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>

int main(int argc, char **argv) {
  const size_t length = 20480;
  int file = argc > 2 ? open(argv[1], O_RDONLY) : -1;
  if (file < 0) return 2;
  for (long index = 0; index < atol(argv[2]); index++) {
    volatile char *memory =
        mmap((void *)(0x100000000 + index * 0x10000), length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, file, 0);
    if (memory == MAP_FAILED) return 3;
    for (size_t at = 0; at < length; at += 4096) memory[at] = memory[at];
  }
  abort();
}
