/*
 * regions SEED DIRECTORY [FILTER]: map memory of every kind, chosen by the seed, write into parts of it, and crash. FILTER
 * becomes the process's own coredump_filter. DIRECTORY takes the mapped files.
 */
#define _GNU_SOURCE
#include "crash.h"
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif

static const size_t PAGE = 4096;
static uint64_t state;

static uint64_t next(uint64_t below) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return below == 0 ? 0 : state % below;
}

static void fill(char *page) {
  for (size_t at = 0; at < PAGE; at += 8) *(uint64_t *)(page + at) = next(UINT64_MAX);
}

/* Write into a part of the pages: all, some, runs, or none. */
static void touch(char *memory, size_t pages) {
  uint64_t how = next(5);
  for (size_t page = 0; page < pages; page++) {
    if (how == 0) continue;
    if (how == 1 && next(16) != 0) continue;
    if (how == 2 && (page / 64) % 2 == 0) continue;
    if (how == 3 && next(2) == 0) {
      /* Read only: the page of zeros. */
      volatile char seen = memory[page * PAGE];
      (void)seen;
      continue;
    }
    fill(memory + page * PAGE);
  }
}

static int file_of(const char *directory, size_t bytes) {
  char path[4096];
  snprintf(path, sizeof path, "%s/regions-%d-%lu", directory, (int)getpid(), (unsigned long)next(UINT64_MAX));
  int file = open(path, O_RDWR | O_CREAT | O_EXCL, 0600);
  if (file < 0) exit(3);
  unlink(path);
  char page[4096];
  for (size_t at = 0; at < bytes; at += PAGE) {
    fill(page);
    size_t wanted = bytes - at < PAGE ? bytes - at : PAGE;
    if (write(file, page, wanted) != (ssize_t)wanted) exit(3);
  }
  return file;
}

static char *map(size_t pages, int protection, int flags, int file) {
  char *memory = mmap(NULL, pages * PAGE, protection, flags, file, 0);
  return memory == MAP_FAILED ? NULL : memory;
}

static void *wait_for_ever(void *unused) {
  for (;;) pause();
  return unused;
}

static void one(const char *directory) {
  size_t pages = 1 + next(next(4) == 0 ? 2000 : 40);
  int both = PROT_READ | PROT_WRITE;
  char *memory;
  switch (next(14)) {
    case 0:
    case 1:
      if ((memory = map(pages, both, MAP_PRIVATE | MAP_ANONYMOUS, -1))) touch(memory, pages);
      return;
    case 2: /* A large reservation, some of it used. */
      pages = 20000 + next(100000);
      memory = map(pages, both, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
      for (int count = 0; memory != NULL && count < 20; count++) fill(memory + next(pages) * PAGE);
      return;
    case 3: /* Made inaccessible after it was written. */
      if ((memory = map(pages, both, MAP_PRIVATE | MAP_ANONYMOUS, -1)) == NULL) return;
      touch(memory, pages);
      mprotect(memory, pages * PAGE, next(2) == 0 ? PROT_NONE : PROT_READ);
      return;
    case 4: /* A file's memory that is written in parts, and reaches behind the file's end. */
    case 5: {
      int file = file_of(directory, pages * PAGE - next(PAGE));
      memory = map(pages, both, MAP_PRIVATE, file);
      if (memory != NULL) touch(memory, pages);
      if (next(2) == 0 && ftruncate(file, (off_t)(pages / 2 * PAGE + 100)) != 0) exit(3);
      close(file);
      return;
    }
    case 6: {
      int file = file_of(directory, pages * PAGE);
      memory = map(pages, both, MAP_SHARED, file);
      if (memory != NULL) touch(memory, pages);
      close(file);
      return;
    }
    case 7: /* Shared memory, of which others may have written what this process never saw. */
      if ((memory = map(pages, both, MAP_SHARED | MAP_ANONYMOUS, -1))) touch(memory, pages);
      return;
    case 8: {
      int file = memfd_create("regions", 0);
      char page[4096];
      fill(page);
      if (ftruncate(file, (off_t)(pages * PAGE)) != 0 || pwrite(file, page, PAGE, (off_t)(next(pages) * PAGE)) < 0) exit(3);
      memory = map(pages, both, next(2) == 0 ? MAP_SHARED : MAP_PRIVATE, file);
      if (memory != NULL) touch(memory, pages);
      close(file);
      return;
    }
    case 9: /* Guards within memory, where the kernel has them. */
      pages += 8;
      if ((memory = map(pages, both, MAP_PRIVATE | MAP_ANONYMOUS, -1)) == NULL) return;
      touch(memory, pages);
      madvise(memory + next(pages - 4) * PAGE, (1 + next(4)) * PAGE, MADV_GUARD_INSTALL);
      return;
    case 10:
      if ((memory = map(pages, both, MAP_PRIVATE | MAP_ANONYMOUS, -1)) == NULL) return;
      touch(memory, pages);
      madvise(memory, pages * PAGE, next(2) == 0 ? MADV_DONTDUMP : MADV_DONTNEED);
      return;
    case 11: { /* Huge pages. */
      size_t huge = 2u << 20;
      memory = mmap(NULL, 4 * huge, both, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      if (memory == MAP_FAILED) return;
      char *aligned = (char *)(((uintptr_t)memory + huge - 1) & ~(huge - 1));
      madvise(aligned, 2 * huge, MADV_HUGEPAGE);
      fill(aligned + next(512) * PAGE);
      if (next(2) == 0) madvise(aligned + next(500) * PAGE, PAGE * (1 + next(8)), MADV_DONTNEED);
      return;
    }
    case 12: /* A heap of small pieces. */
      for (int count = 0; count < 200; count++) {
        char *piece = malloc(1 + next(20000));
        if (piece != NULL) piece[0] = (char)next(256);
      }
      return;
    default: {
      pthread_t thread;
      pthread_create(&thread, NULL, wait_for_ever, NULL);
      return;
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  state = strtoull(argv[1], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
  if (argc > 3) {
    int file = open("/proc/self/coredump_filter", O_WRONLY);
    if (file < 0 || write(file, argv[3], strlen(argv[3])) < 0) return 3;
    close(file);
  }
  int count = (int)(5 + next(40));
  for (int index = 0; index < count; index++) one(argv[2]);
  crash_here(NULL);
  return 0;
}
