/*
 * stacks KIND: crashes in the way that KIND names, while five other threads wait, each in another way. Says its thread ids.
 *
 *   deep     a read of 0x10, five calls down
 *   library  the same, called back by a shared library
 *   abort    abort(3), five calls down
 *   nowhere  a call of address 0
 *   handler  abort(3) in the handler of a SIGSEGV, on a stack of its own; what the signal interrupted calls nothing
 */
#define _GNU_SOURCE
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define STEP __attribute__((noinline))

int through_library(int (*callback)(volatile int *), volatile int *argument);

enum { WAITERS = 5 };
static const char *kind;
static volatile int *const bad = (volatile int *)0x10;
static pid_t tids[WAITERS];
static volatile int spinning;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t never = PTHREAD_COND_INITIALIZER;

STEP static int step_five(volatile int *where) {
  if (strcmp(kind, "abort") == 0) abort();
  return *where;
}
/* Calls nothing, and has its return address only in the link register. */
STEP static int read_it(volatile int *where) { return *where; }
STEP static int step_four(volatile int *where) {
  volatile int kept[8] = {0};
  kept[3] = strcmp(kind, "handler") == 0 ? read_it(where) : step_five(where);
  return kept[3] + 1;
}
STEP static int step_three(volatile int *where) { volatile int kept = step_four(where); return kept + 1; }
STEP static int step_two(volatile int *where) { volatile int kept = step_three(where); return kept + 1; }
STEP static int step_one(volatile int *where) { volatile int kept = step_two(where); return kept + 1; }
STEP static int call_nowhere(void) {
  int (*volatile nowhere)(void) = NULL;
  volatile int kept = nowhere();
  return kept + 1;
}

STEP static void give_up(int number) {
  volatile int kept = number;
  abort();
  (void)kept;
}
static void on_signal(int number) {
  give_up(number);
}

STEP static int wait_for_ever(volatile int *unused) {
  volatile int kept = 0;
  for (;;) kept += poll(NULL, 0, -1);
  return kept + (unused != NULL);
}
STEP static void spin(void) {
  for (;;) spinning += 1;
}

static void *waiter(void *argument) {
  long index = (long)argument;
  __atomic_store_n(&tids[index], (pid_t)syscall(SYS_gettid), __ATOMIC_SEQ_CST);
  volatile long kept = index;
  /* syscall(2) calls nothing either. */
  if (index == 0) kept += syscall(SYS_ppoll, NULL, 0, NULL, NULL, 0);
  if (index == 1) {
    pthread_mutex_lock(&mutex);
    for (;;) pthread_cond_wait(&never, &mutex);
  }
  if (index == 2) kept += through_library(wait_for_ever, NULL);
  if (index == 3) for (;;) kept += (long)sleep(1000);
  if (index == 4) spin();
  return (void *)kept;
}

/* Looks at /proc until a thread sleeps. */
static void wait_until_asleep(pid_t tid) {
  char path[64], text[512], *state;
  snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  for (;;) {
    FILE *file = fopen(path, "r");
    size_t length = file == NULL ? 0 : fread(text, 1, sizeof text - 1, file);
    if (file != NULL) fclose(file);
    text[length] = 0;
    state = strrchr(text, ')');
    if (state != NULL && state[2] == 'S') return;
    usleep(1000);
  }
}

int main(int argc, char **argv) {
  kind = argc > 1 ? argv[1] : "deep";
  /* A core of 40 MB of empty stacks would take an emulated machine half a minute. */
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 128 * 1024);
  for (long index = 0; index < WAITERS; index++) {
    pthread_t thread;
    if (pthread_create(&thread, &small, waiter, (void *)index) != 0) return 1;
  }
  for (int index = 0; index < WAITERS; index++) {
    while (__atomic_load_n(&tids[index], __ATOMIC_SEQ_CST) == 0) usleep(1000);
    if (index == 4) while (spinning == 0) usleep(1000);
    else wait_until_asleep(tids[index]);
    printf("waiter %d %d\n", index, tids[index]);
  }
  printf("crashes %d\n", getpid());
  fflush(stdout);
  if (strcmp(kind, "nowhere") == 0) return call_nowhere();
  if (strcmp(kind, "library") == 0) return through_library(step_one, bad);
  if (strcmp(kind, "handler") == 0) {
    stack_t stack = {.ss_sp = malloc(65536), .ss_size = 65536};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    if (sigaltstack(&stack, NULL) != 0 || sigaction(SIGSEGV, &action, NULL) != 0) return 1;
  }
  return step_one(bad);
}
