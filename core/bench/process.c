#include "core/bench/process.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

// The beginning of a file of /proc as a string; false when it cannot be read.
static bool read_file(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, text, size - 1);
    close(fd);
    if (length < 0)
        return false;
    text[length] = '\0';
    return true;
}

static uint64_t nanoseconds(struct timespec time)
{
    return (uint64_t)time.tv_sec * NS_PER_SECOND + (uint64_t)time.tv_nsec;
}

static uint64_t cpu_ns(int pid)
{
    clockid_t clock;
    struct timespec time;
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        return 0;
    return nanoseconds(time);
}

// How long the threads of a process were ready to run and did not: proc(5), schedstat.
static uint64_t wait_ns(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/task", pid);
    DIR *tasks = opendir(path);
    if (!tasks)
        return 0;
    uint64_t sum = 0;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char file[384];
        char text[128];
        snprintf(file, sizeof file, "%s/%s/schedstat", path, task->d_name);
        if (task->d_name[0] == '.' || !read_file(file, text, sizeof text))
            continue;
        char *second;
        strtoull(text, &second, 10);
        sum += strtoull(second, NULL, 10);
    }
    closedir(tasks);
    return sum;
}

// What all processors spent on anything but idling and waiting for disks: proc(5), stat.
static uint64_t machine_busy_ns(void)
{
    char text[256];
    if (!read_file("/proc/stat", text, sizeof text) || strncmp(text, "cpu ", 4) != 0)
        return 0;
    static const bool counts[] = {true, true, true, false, false, true, true, true};
    uint64_t ticks = 0;
    char *at = text + 4;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        uint64_t value = strtoull(at, &at, 10);
        ticks += counts[i] ? value : 0;
    }
    return ticks * (NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
}

bool process_exists(int pid)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    return access(path, R_OK) == 0;
}

struct sample sample_take(const struct bench *bench)
{
    struct sample sample = {
        .idle_ns = bench->idle_ns, .delivered = bench->ledger.delivered, .sent = bench->sent};
    for (unsigned i = 0; i < bench->options->pid_count; i++) {
        sample.broker_ns += cpu_ns(bench->options->pids[i]);
        sample.broker_wait_ns += wait_ns(bench->options->pids[i]);
    }
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    sample.own_ns = nanoseconds(time);
    sample.own_wait_ns = wait_ns((int)getpid());
    sample.busy_ns = machine_busy_ns();
    sample.now_ns = clock_monotonic_ns();
    return sample;
}

uint64_t resident_bytes(const struct bench *bench)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < bench->options->pid_count; i++) {
        char path[64];
        char text[4096];
        snprintf(path, sizeof path, "/proc/%d/status", bench->options->pids[i]);
        const char *line = read_file(path, text, sizeof text) ? strstr(text, "VmRSS:") : NULL;
        if (line)
            sum += strtoull(line + 6, NULL, 10) * 1024;
    }
    return sum;
}
