#include "process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* Since Linux 6.2 the folder's size is the number of descriptors; before, they have to be counted. */
static long open_descriptors(void)
{
    static const char path[] = "/proc/self/fd";
    struct stat status;
    if (stat(path, &status) == 0 && status.st_size > 0)
        return (long)status.st_size;
    DIR *folder = opendir(path);
    if (!folder)
        return -1;
    long count = -1; /* the folder's own descriptor */
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
        count += entry->d_name[0] != '.';
    closedir(folder);
    return count;
}

static double seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

/* Pages: of the address space, and resident. */
static int memory_pages(unsigned long *virtual_pages, unsigned long *resident_pages)
{
    FILE *file = fopen("/proc/self/statm", "re");
    if (!file)
        return 0;
    int found = fscanf(file, "%lu %lu", virtual_pages, resident_pages);
    fclose(file);
    return found == 2;
}

/* The start, counted in ticks since the system's, is the 22nd field; the second is a name that may contain
 * blanks and ends with the last parenthesis. */
static int start_ticks(unsigned long long *ticks)
{
    char text[1024];
    FILE *file = fopen("/proc/self/stat", "re");
    if (!file)
        return 0;
    size_t length = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[length] = '\0';
    char *at = strrchr(text, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    if (!at)
        return 0;
    *ticks = strtoull(at + 1, NULL, 10);
    return 1;
}

static int boot_time(unsigned long long *since)
{
    char line[256];
    int found = 0;
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return 0;
    while (!found && fgets(line, sizeof(line), file))
        found = sscanf(line, "btime %llu", since) == 1;
    fclose(file);
    return found;
}

static void add_start(struct exposition *exposition)
{
    unsigned long long ticks;
    unsigned long long since;
    if (start_ticks(&ticks) && boot_time(&since))
        exposition_add_process(exposition, "process_start_time_seconds", NOCTULE_GAUGE,
                               "when the process started, in seconds since 1970",
                               (double)since + (double)ticks / (double)sysconf(_SC_CLK_TCK));
}

static void add_descriptors(struct exposition *exposition)
{
    struct rlimit limit;
    long count = open_descriptors();
    if (count >= 0)
        exposition_add_process(exposition, "process_open_fds", NOCTULE_GAUGE, "open file descriptors",
                               (double)count);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY)
        exposition_add_process(exposition, "process_max_fds", NOCTULE_GAUGE,
                               "the most file descriptors that may be open", (double)limit.rlim_cur);
}

void process_add(struct exposition *exposition)
{
    struct rusage usage;
    unsigned long virtual_pages;
    unsigned long resident_pages;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        exposition_add_process(exposition, "process_cpu_seconds", NOCTULE_COUNTER,
                               "processor time that the process has used",
                               seconds(&usage.ru_utime) + seconds(&usage.ru_stime));
    if (memory_pages(&virtual_pages, &resident_pages)) {
        double page = (double)sysconf(_SC_PAGESIZE);
        exposition_add_process(exposition, "process_virtual_memory_bytes", NOCTULE_GAUGE,
                               "address space of the process", (double)virtual_pages * page);
        exposition_add_process(exposition, "process_resident_memory_bytes", NOCTULE_GAUGE,
                               "memory that the process occupies", (double)resident_pages * page);
    }
    add_start(exposition);
    add_descriptors(exposition);
}
