/* Makes every fdatasync and fsync of a process five milliseconds slower, as on a disk that is not a fast virtual one.
   scripts/bench builds it and loads it before the C library. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>

static int slowly(const char *name, int file) {
  int (*sync)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
  struct timespec wait = {0, 5 * 1000 * 1000};
  nanosleep(&wait, 0);
  return sync(file);
}

int fdatasync(int file) { return slowly("fdatasync", file); }
int fsync(int file) { return slowly("fsync", file); }
