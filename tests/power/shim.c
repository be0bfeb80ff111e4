/* Preloaded into a gateway process: records every write, truncation and sync of the database's files, in order.
   cc -shared -fPIC -O1 -o shim.so shim.c -ldl
   POWER_FILES is the path of the database, POWER_LOG where the record goes: see replay.py for its form. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

enum { WRITE = 1, TRUNCATE = 2, SYNC = 3, ACKNOWLEDGE = 4 };
struct head { uint32_t what, file; uint64_t offset, length; };

static int files[4096]; /* of a descriptor: 0 none of ours, 1 the database, 2 its WAL, 3 its journal */
static int record = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static void note(uint32_t what, uint32_t file, uint64_t offset, const void *data, uint64_t length) {
    static ssize_t (*real_writev)(int, const struct iovec *, int);
    pthread_mutex_lock(&lock);
    if (record < 0) {
        record = REAL(open64)(getenv("POWER_LOG"), O_WRONLY | O_CREAT | O_APPEND, 0600);
        real_writev = REAL(writev);
    }
    struct head head = {what, file, offset, length};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, data ? length : 0}};
    if (real_writev(record, parts, 2) < 0) abort();
    pthread_mutex_unlock(&lock);
}

static int which(const char *path) {
    const char *ours = getenv("POWER_FILES");
    if (!ours || strncmp(path, ours, strlen(ours))) return 0;
    const char *ending = path + strlen(ours);
    return !*ending ? 1 : !strcmp(ending, "-wal") ? 2 : !strcmp(ending, "-journal") ? 3 : 0;
}

static int opened(int handle, const char *path) {
    if (handle >= 0 && handle < 4096) files[handle] = which(path);
    return handle;
}

static int of(int handle) { return handle >= 0 && handle < 4096 ? files[handle] : 0; }

#define OPEN(name)                                                                     \
    int name(const char *path, int flags, ...) {                                       \
        va_list more;                                                                  \
        va_start(more, flags);                                                         \
        mode_t mode = va_arg(more, mode_t);                                            \
        va_end(more);                                                                  \
        return opened(REAL(name)(path, flags, mode), path);                            \
    }
OPEN(open)
OPEN(open64)

int close(int handle) {
    if (handle >= 0 && handle < 4096) files[handle] = 0;
    return REAL(close)(handle);
}

#define PWRITE(name, offset_type)                                                      \
    ssize_t name(int handle, const void *data, size_t length, offset_type offset) {    \
        ssize_t done = REAL(name)(handle, data, length, offset);                       \
        if (done > 0 && of(handle)) note(WRITE, of(handle), offset, data, done);       \
        return done;                                                                   \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

ssize_t write(int handle, const void *data, size_t length) {
    off_t offset = of(handle) ? lseek(handle, 0, SEEK_CUR) : 0;
    ssize_t done = REAL(write)(handle, data, length);
    if (done > 0 && of(handle)) note(WRITE, of(handle), offset, data, done);
    return done;
}

#define TRUNCATED(name, length_type)                                                   \
    int name(int handle, length_type length) {                                         \
        int done = REAL(name)(handle, length);                                         \
        if (!done && of(handle)) note(TRUNCATE, of(handle), length, 0, 0);             \
        return done;                                                                   \
    }
TRUNCATED(ftruncate, off_t)
TRUNCATED(ftruncate64, off64_t)

#define SYNCED(name)                                                                   \
    int name(int handle) {                                                             \
        int done = REAL(name)(handle);                                                 \
        if (!done && of(handle)) note(SYNC, of(handle), 0, 0, 0);                      \
        return done;                                                                   \
    }
SYNCED(fsync)
SYNCED(fdatasync)

/* A hop was answered: what it did must be there from here on. */
void acknowledge(const char *id) { note(ACKNOWLEDGE, 0, 0, id, strlen(id)); }
