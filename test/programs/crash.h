/* Shared by the crash programs: tell the launcher when the fatal signal is about to be raised. */
#ifndef CDH_CRASH_H
#define CDH_CRASH_H

#include <stdint.h>
#include <time.h>
#include <unistd.h>

/* The launcher hands down a pipe under this number; without it the write fails and nothing is lost. */
#define STAMP_FD 198

static inline uint64_t now_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void about_to_crash(void) {
  uint64_t stamp = now_ns();
  ssize_t written = write(STAMP_FD, &stamp, sizeof stamp);
  (void)written;
}

/* A frame with a name that a debugger's backtrace shows. */
static void __attribute__((noinline, unused)) crash_here(volatile int *address) {
  about_to_crash();
  *address = 42;
}

#endif
