/*
 * The program of the pods that crash.
 *
 *   crasher wait        prints two lines, then crashes on SIGUSR1; as the first process of its pid namespace it is immune
 *                       to signals that others send, but not to a fault of its own
 *   crasher nocore      the same, with RLIMIT_CORE of 0
 *   crasher now         prints two lines and crashes
 *   crasher fill MB     fills so much memory with what does not compress, prints "filled", then as wait
 *   crasher fire        until SIGUSR1, one process after another crashes, each by another executable's name; prints
 *                       "crash N" before each, and "ceased N" at the end
 */
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t stop;

static void crash(int number) { *(volatile int *)0x1234 = number; }

static void cease(int number) { stop = number; }

static void say(const char *word, int number) {
  char line[64];
  int length = snprintf(line, sizeof line, "%s %d\n", word, number);
  if (write(1, line, length) != length) _exit(3);
}

static void fill(size_t bytes) {
  uint64_t state = 0x9e3779b97f4a7c15u, *word = malloc(bytes);
  if (word == NULL) _exit(4);
  for (size_t i = 0; i < bytes / 8; i++) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    word[i] = state;
  }
  say("filled", (int)(bytes >> 20));
}

static void fire(void) {
  int count = 0;
  signal(SIGUSR1, cease);
  while (!stop) {
    char name[32];
    snprintf(name, sizeof name, "/tmp/c%d", count);
    if (link("/crasher", name) != 0) _exit(5);
    say("crash", count);
    pid_t child = fork();
    if (child == 0) {
      execl(name, name, "now", NULL);
      _exit(6);
    }
    while (waitpid(child, NULL, 0) < 0) continue;
    count++;
    struct timespec pause = {0, 50000000};
    nanosleep(&pause, NULL);
  }
  say("ceased", count);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "wait";
  if (strcmp(mode, "fire") == 0) {
    fire();
    for (;;) pause();
  }
  signal(SIGUSR1, crash);
  if (strcmp(mode, "nocore") == 0) {
    struct rlimit none = {0, 0};
    setrlimit(RLIMIT_CORE, &none);
  }
  if (strcmp(mode, "fill") == 0) fill((size_t)atol(argc > 2 ? argv[2] : "1") << 20);
  say("first line of", getpid());
  say("last line of", getpid());
  if (strcmp(mode, "now") == 0) crash(1);
  for (;;) pause();
}
