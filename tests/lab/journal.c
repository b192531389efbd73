/* Preloaded into the daemon: keeps a journal of everything it does to the files of its store, and of each 250 of a message it is about to send, in
 * one total order. power.py makes out of it what a disk may hold after a cut. Nothing is changed or held back: the daemon runs as it would.
 *
 * A record: kind (1 octet), file (4), offset (8), length (4), then so many octets. A write is noted while no other is made, so that a flush which
 * is noted as begun behind it does cover it. Kinds: o opened, c created (octets: name); w write; t truncate (offset: new size); s flush begins, S flush done
 * (offset: thread; the directory is the file of all ones); u unlink, r rename (octets: name, or old NUL new); a a 250 goes out (octets: the reply). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#define FILES 65536
#define DIRECTORY 0xffffffffu
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;
static const char *directory;
static uint32_t of[FILES];                               /* descriptor to file, 0: none of ours */
static struct { ino_t inode; uint32_t file; } known[256]; /* files that have a name */
static uint32_t files;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("LAB_JOURNAL");
    directory = getenv("LAB_DIRECTORY");
    if (path && directory) journal = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static void note(char kind, uint32_t file, uint64_t offset, const void *octets, uint32_t length) {
    char head[17];
    head[0] = kind;
    memcpy(head + 1, &file, 4);
    memcpy(head + 5, &offset, 8);
    memcpy(head + 13, &length, 4);
    struct iovec both[2] = {{head, sizeof head}, {(void *)octets, length}};
    if (syscall(SYS_writev, journal, both, length ? 2 : 1) != (long)(sizeof head + length)) abort();
}

/* The name of a file of the store, without its directory; none for other files, and for those that need not outlive a crash. */
static const char *ours(const char *path) {
    size_t n = directory ? strlen(directory) : 0;
    if (journal < 0 || !path || strncmp(path, directory, n)) return 0;
    if (path[n] == 0) return ".";
    const char *name = path[n] == '/' ? path + n + 1 : 0;
    if (!name || (strncmp(name, "marketrelay.sqlite3", 19) && strcmp(name, "store.made")) || strstr(name, "-shm")) return 0;
    return name;
}

static uint32_t number(int fd, int *fresh) {
    struct stat st;
    fstat(fd, &st);
    int room = -1;
    for (int i = 0; i < 256; i++) {
        if (known[i].file && known[i].inode == st.st_ino) return known[i].file;
        if (!known[i].file) room = i;
    }
    if (room < 0) abort();
    known[room].inode = st.st_ino;
    known[room].file = ++files;
    *fresh = 1;
    return known[room].file;
}

static int opened(int fd, const char *path, int existed) {
    const char *name = ours(path);
    if (fd < 0 || fd >= FILES) return fd;
    if (!name) { of[fd] = 0; return fd; }
    if (!strcmp(name, ".")) { of[fd] = DIRECTORY; return fd; }
    int fresh = 0;
    uint32_t file = number(fd, &fresh);
    if (fresh) note(existed ? 'o' : 'c', file, 0, name, strlen(name));
    of[fd] = file;
    return fd;
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (!real) real = dlsym(RTLD_NEXT, #name)
#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list more; va_start(more, flags); int mode = va_arg(more, int); va_end(more); \
        if (!ours(path) || (flags & O_TMPFILE) == O_TMPFILE) { int fd = real(path, flags, mode); if (fd >= 0 && fd < FILES) of[fd] = 0; return fd; } \
        pthread_mutex_lock(&lock); \
        int existed = access(path, F_OK) == 0, fd = opened(real(path, flags, mode), path, existed); \
        if (fd >= 0 && fd < FILES && of[fd] && of[fd] != DIRECTORY && existed && (flags & O_TRUNC)) note('t', of[fd], 0, 0, 0); \
        pthread_mutex_unlock(&lock); return fd; }
OPEN(open)
OPEN(open64)

int close(int fd) {
    REAL(int, close, int);
    if (fd >= 0 && fd < FILES) of[fd] = 0;
    return real(fd);
}

static uint32_t file_of(int fd) { return journal >= 0 && fd >= 0 && fd < FILES ? of[fd] : 0; }

#define PWRITE(name) \
    ssize_t name(int fd, const void *octets, size_t length, off_t at) { \
        REAL(ssize_t, name, int, const void *, size_t, off_t); \
        uint32_t file = file_of(fd); \
        if (!file) return real(fd, octets, length, at); \
        pthread_mutex_lock(&lock); \
        ssize_t n = real(fd, octets, length, at); \
        if (n > 0) note('w', file, at, octets, n); \
        pthread_mutex_unlock(&lock); return n; }
PWRITE(pwrite)
PWRITE(pwrite64)

static void answer(int fd, const void *octets, size_t length) {
    if (journal < 0 || length < 10 || memcmp(octets, "250 2.6.0 ", 10)) return;
    pthread_mutex_lock(&lock);
    note('a', 0, 0, octets, length);
    pthread_mutex_unlock(&lock);
}

ssize_t write(int fd, const void *octets, size_t length) {
    REAL(ssize_t, write, int, const void *, size_t);
    uint32_t file = file_of(fd);
    if (!file) { answer(fd, octets, length); return real(fd, octets, length); }
    pthread_mutex_lock(&lock);
    off_t at = lseek(fd, 0, SEEK_CUR);
    ssize_t n = real(fd, octets, length);
    if (n > 0) note('w', file, at, octets, n);
    pthread_mutex_unlock(&lock);
    return n;
}

ssize_t send(int fd, const void *octets, size_t length, int flags) {
    REAL(ssize_t, send, int, const void *, size_t, int);
    answer(fd, octets, length);
    return real(fd, octets, length, flags);
}

#define TRUNCATE(name) \
    int name(int fd, off_t size) { \
        REAL(int, name, int, off_t); \
        uint32_t file = file_of(fd); \
        if (!file) return real(fd, size); \
        pthread_mutex_lock(&lock); \
        int done = real(fd, size); \
        if (!done) note('t', file, size, 0, 0); \
        pthread_mutex_unlock(&lock); return done; }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define FLUSH(name) \
    int name(int fd) { \
        REAL(int, name, int); \
        uint32_t file = file_of(fd); \
        if (!file) return real(fd); \
        pthread_mutex_lock(&lock); note('s', file, gettid(), 0, 0); pthread_mutex_unlock(&lock); \
        int done = real(fd); \
        if (!done) { pthread_mutex_lock(&lock); note('S', file, gettid(), 0, 0); pthread_mutex_unlock(&lock); } \
        return done; }
FLUSH(fsync)
FLUSH(fdatasync)

int unlink(const char *path) {
    REAL(int, unlink, const char *);
    const char *name = ours(path);
    if (!name) return real(path);
    pthread_mutex_lock(&lock);
    struct stat st;
    int found = stat(path, &st), done = real(path);
    for (int i = 0; i < 256 && !found && !done; i++) if (known[i].file && known[i].inode == st.st_ino) known[i].file = 0;
    if (!done) note('u', 0, 0, name, strlen(name));
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    const char *old = ours(from), *name = ours(to);
    if (!old || !name) return real(from, to);
    char both[512];
    size_t n = strlen(old), m = strlen(name);
    if (n + m + 1 > sizeof both) abort();
    memcpy(both, old, n + 1);
    memcpy(both + n + 1, name, m);
    pthread_mutex_lock(&lock);
    int done = real(from, to);
    if (!done) note('r', 0, 0, both, n + 1 + m);
    pthread_mutex_unlock(&lock);
    return done;
}
