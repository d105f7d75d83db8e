/* Makes the disk below one folder fail on demand, for the process that this library is preloaded into.
 *
 * FAILING_DISK_BELOW   the folder; files elsewhere are left alone
 * FAILING_DISK_SWITCH  a file of one byte that says what fails now:
 *     '-'  nothing
 *     'F'  full: what would make a file longer does not fit
 *     'P'  full in the midst of a write: half of it is written
 *     'R'  read-only
 *     'W'  writing: input/output error
 *     'S'  flushing: input/output error, though the bytes were taken
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static const volatile char *fault = "-";
static char below[4096];

__attribute__((constructor)) static void begin(void)
{
    const char *folder = getenv("FAILING_DISK_BELOW"), *path = getenv("FAILING_DISK_SWITCH");
    int fd = folder && path ? REAL(open)(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    snprintf(below, sizeof below, "%s", folder);
    void *shared = mmap(NULL, 1, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    if (shared != MAP_FAILED)
        fault = shared;
}

static int path_is_below(const char *path) { return below[0] && strncmp(path, below, strlen(below)) == 0; }

static int is_below(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t size = readlink(link, path, sizeof path - 1);
    if (size < 0)
        return 0;
    path[size] = 0;
    return path_is_below(path);
}

static int fails(int error)
{
    errno = error;
    return -1;
}

static int grows(int fd, off_t end)
{
    struct stat now;
    return fstat(fd, &now) == 0 && end > now.st_size;
}

/* What a write of `count` bytes at `offset` may do: all of it, some of it, or -1 with errno. */
static ssize_t allowed(int fd, size_t count, off_t offset)
{
    char kind = *fault;
    if (kind == '-' || kind == 'S' || !is_below(fd))
        return (ssize_t)count;
    if (kind == 'R')
        return fails(EROFS);
    if (kind == 'W')
        return fails(EIO);
    if (!grows(fd, offset + (off_t)count))
        return (ssize_t)count;
    return kind == 'P' && count > 1 ? (ssize_t)(count / 2) : fails(ENOSPC);
}

ssize_t write(int fd, const void *data, size_t count)
{
    if (*fault == '-')
        return REAL(write)(fd, data, count);
    ssize_t size = allowed(fd, count, lseek(fd, 0, SEEK_CUR));
    return size < 0 ? -1 : REAL(write)(fd, data, (size_t)size);
}

ssize_t pwrite64(int fd, const void *data, size_t count, off64_t offset)
{
    ssize_t size = allowed(fd, count, offset);
    return size < 0 ? -1 : REAL(pwrite64)(fd, data, (size_t)size, offset);
}

ssize_t pwrite(int fd, const void *data, size_t count, off_t offset) { return pwrite64(fd, data, count, offset); }

int fdatasync(int fd)
{
    char kind = *fault;
    if ((kind == 'S' || kind == 'W') && is_below(fd))
        return fails(EIO);
    return REAL(fdatasync)(fd);
}

int fsync(int fd)
{
    char kind = *fault;
    if ((kind == 'S' || kind == 'W') && is_below(fd))
        return fails(EIO);
    return REAL(fsync)(fd);
}

int ftruncate64(int fd, off64_t size)
{
    char kind = *fault;
    if (kind != '-' && kind != 'S' && is_below(fd)) {
        if (kind == 'R')
            return fails(EROFS);
        if (kind == 'W')
            return fails(EIO);
        if (grows(fd, size))
            return fails(ENOSPC);
    }
    return REAL(ftruncate64)(fd, size);
}

int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    char kind = *fault;
    if (kind != '-' && kind != 'S' && is_below(fd))
        return kind == 'R' ? EROFS : kind == 'W' ? EIO : ENOSPC;
    return REAL(posix_fallocate64)(fd, offset, size);
}

int posix_fallocate(int fd, off_t offset, off_t size) { return posix_fallocate64(fd, offset, size); }

int open64(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(more, int) : 0;
    va_end(more);
    if (*fault == 'R' && (flags & O_ACCMODE) != O_RDONLY && path_is_below(path))
        return fails(EROFS);
    return REAL(open64)(path, flags, mode);
}

int open(const char *path, int flags, ...)
{
    va_list more;
    va_start(more, flags);
    mode_t mode = flags & (O_CREAT | O_TMPFILE) ? (mode_t)va_arg(more, int) : 0;
    va_end(more);
    return open64(path, flags, mode);
}

int unlink(const char *path)
{
    if (*fault == 'R' && path_is_below(path))
        return fails(EROFS);
    return REAL(unlink)(path);
}

int rename(const char *from, const char *to)
{
    if (*fault == 'R' && path_is_below(to))
        return fails(EROFS);
    return REAL(rename)(from, to);
}

/* Python asks for the room on a disk with the first, and on some machines with the second. */
int statvfs64(const char *path, struct statvfs64 *room)
{
    int status = REAL(statvfs64)(path, room);
    if (status == 0 && (*fault == 'F' || *fault == 'P') && path_is_below(path))
        room->f_bfree = room->f_bavail = 0;
    return status;
}

int statvfs(const char *path, struct statvfs *room)
{
    int status = REAL(statvfs)(path, room);
    if (status == 0 && (*fault == 'F' || *fault == 'P') && path_is_below(path))
        room->f_bfree = room->f_bavail = 0;
    return status;
}
