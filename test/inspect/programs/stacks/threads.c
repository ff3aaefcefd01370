/* One thread fails while others wait. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

__attribute__((noinline)) static void *wait_for_work(void *argument) {
  pause();
  return argument;
}

__attribute__((noinline)) static void *fail(void *argument) {
  usleep(200000);
  abort();
  return argument;
}

int main(void) {
  pthread_t threads[4];
  for (int index = 0; index < 3; index += 1) pthread_create(&threads[index], 0, wait_for_work, 0);
  pthread_create(&threads[3], 0, fail, 0);
  for (int index = 0; index < 4; index += 1) pthread_join(threads[index], 0);
  return 0;
}
