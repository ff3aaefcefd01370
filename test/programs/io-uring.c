/*
 * io-uring MB: has an io_uring with 200 timeouts pending and so much memory touched, then SIGSEGV. The kernel breaks a
 * dump of it into a pipe off as soon as one of them completes.
 */
#include <linux/io_uring.h>
#include <linux/time_types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENTRIES = 256, TIMEOUTS = 200, PAGE = 4096 };

static struct __kernel_timespec due[TIMEOUTS];

static void *map(int ring, size_t bytes, off_t offset) {
  void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring, offset);
  if (at == MAP_FAILED) {
    perror("mmap of the ring");
    exit(2);
  }
  return at;
}

int main(int argc, char **argv) {
  size_t bytes = (size_t)(argc > 1 ? atoi(argv[1]) : 64) << 20;
  struct io_uring_params params;
  memset(&params, 0, sizeof params);
  int ring = (int)syscall(SYS_io_uring_setup, ENTRIES, &params);
  if (ring < 0) {
    perror("io_uring_setup");
    return 2;
  }
  size_t ring_bytes = params.sq_off.array + params.sq_entries * sizeof(unsigned);
  char *queue = map(ring, ring_bytes, IORING_OFF_SQ_RING);
  struct io_uring_sqe *entries = map(ring, params.sq_entries * sizeof *entries, IORING_OFF_SQES);
  unsigned *tail = (unsigned *)(queue + params.sq_off.tail);
  unsigned *array = (unsigned *)(queue + params.sq_off.array);
  char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  for (size_t at = 0; at < bytes; at += 64) memory[at] = (char)(at * 2654435761u >> 8);
  for (unsigned i = 0; i < TIMEOUTS; i++) {
    due[i].tv_nsec = (i + 1) * 4000000L;
    memset(&entries[i], 0, sizeof entries[i]);
    entries[i].opcode = IORING_OP_TIMEOUT;
    entries[i].addr = (unsigned long)&due[i];
    entries[i].len = 1;
    array[i] = i;
  }
  __atomic_store_n(tail, TIMEOUTS, __ATOMIC_RELEASE);
  if (syscall(SYS_io_uring_enter, ring, TIMEOUTS, 0, 0, NULL, 0) < 0) {
    perror("io_uring_enter");
    return 2;
  }
  *(volatile int *)0 = 1;
  return 0;
}
