/* threads [COUNT]: 8 threads, or so many, the main one among them; the sixth crashes with SIGSEGV. Prints each thread's index and tid. */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>

#include "crash.h"

enum { CRASHES = 5 };
static pthread_barrier_t barrier;

static void __attribute__((noinline)) wait_in_worker(void) {
  for (;;) pause();
}

static void *worker(void *argument) {
  long index = (long)argument;
  printf("thread %ld %ld\n", index, syscall(SYS_gettid));
  fflush(stdout);
  pthread_barrier_wait(&barrier);
  if (index == CRASHES) crash_here((volatile int *)0x1234);
  wait_in_worker();
  return NULL;
}

int main(int argc, char **argv) {
  long threads = argc > 1 ? atol(argv[1]) : 8;
  pthread_barrier_init(&barrier, NULL, threads);
  for (long i = 1; i < threads; i++) {
    pthread_t thread;
    if (pthread_create(&thread, NULL, worker, (void *)i) != 0) return 1;
  }
  worker((void *)0);
  return 0;
}
