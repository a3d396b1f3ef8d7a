// The map against a plain array; growing, shrinking, and many removals.
#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/map.h"

enum { KEYS = 600 };

// As ck_assert, which is too slow to be called millions of times.
#define CHECK(what)                                                                                          \
    do {                                                                                                     \
        if (!(what))                                                                                         \
            ck_abort_msg("failed: %s", #what);                                                               \
    } while (0)

static char keys[KEYS][16];
static int values[KEYS][2];

static struct str key_of(int i)
{
    return str_of(keys[i]);
}

static void name_keys(void)
{
    for (int i = 0; i < KEYS; i++)
        snprintf(keys[i], sizeof keys[i], "key%d", i);
}

// `reference[i]` is what the map should hold under key i.
static void check_all(const struct map *map, int *const reference[KEYS])
{
    size_t count = 0;
    bool seen[KEYS] = {0};
    for (int i = 0; i < KEYS; i++) {
        CHECK(map_get(map, key_of(i)) == reference[i]);
        count += reference[i] != NULL;
    }
    ck_assert_uint_eq(map->count, count);
    size_t cursor = 0;
    size_t walked = 0;
    for (int *value; (value = map_next(map, &cursor)); walked++) {
        int i = (int)((value - values[0]) / 2);
        CHECK(!seen[i]);
        seen[i] = true;
        CHECK(value == reference[i]);
    }
    ck_assert_uint_eq(walked, count);
    ck_assert_ptr_null(map_next(map, &cursor));
    ck_assert(map->capacity == 0 || (map->capacity & (map->capacity - 1)) == 0);
    ck_assert(map->count * 4 <= map->capacity * 3);
}

START_TEST(random_operations)
{
    struct map map = {0};
    int *reference[KEYS] = {0};
    srandom((unsigned)_i);
    // The number of keys in use swells and shrinks, so that the table does, too.
    for (int round = 0; round < 40; round++) {
        int range = 1 + (int)random() % KEYS;
        int bias = (int)random() % 9 + 1;
        for (int step = 0; step < 400; step++) {
            int i = (int)random() % range;
            if (random() % 10 < bias) {
                int *value = &values[i][random() % 2];
                CHECK(map_put(&map, key_of(i), value) == reference[i]);
                reference[i] = value;
            } else {
                CHECK(map_remove(&map, key_of(i)) == reference[i]);
                reference[i] = NULL;
            }
        }
        check_all(&map, reference);
    }
    for (int i = 0; i < KEYS; i++)
        CHECK(map_remove(&map, key_of(i)) == reference[i]);
    ck_assert_ptr_null(map.slots);
}
END_TEST

START_TEST(empty)
{
    struct map map = {0};
    size_t cursor = 0;
    ck_assert_ptr_null(map_get(&map, STR("x")));
    ck_assert_ptr_null(map_remove(&map, STR("x")));
    ck_assert_ptr_null(map_next(&map, &cursor));
    map_clear(&map);
    int value;
    map_put(&map, (struct str){0}, &value);
    ck_assert_ptr_eq(map_get(&map, STR("")), &value);
    ck_assert_ptr_eq(map_remove(&map, (struct str){0}), &value);
}
END_TEST

// On replacement the bytes of the new key count, because the old ones may go with the old value.
START_TEST(replaced_key)
{
    struct map map = {0};
    int value;
    char *first = strdup("same");
    char *second = strdup("same");
    map_put(&map, str_of(first), &value);
    ck_assert_ptr_eq(map_put(&map, str_of(second), &value), &value);
    free(first);
    ck_assert_ptr_eq(map_get(&map, STR("same")), &value);
    ck_assert_ptr_eq(map_remove(&map, STR("same")), &value);
    free(second);
}
END_TEST

START_TEST(keys_with_nul)
{
    struct map map = {0};
    int values_of[3];
    map_put(&map, str_make("a\0b", 3), &values_of[0]);
    map_put(&map, str_make("a\0c", 3), &values_of[1]);
    map_put(&map, str_make("a", 1), &values_of[2]);
    ck_assert_ptr_eq(map_get(&map, str_make("a\0b", 3)), &values_of[0]);
    ck_assert_ptr_eq(map_get(&map, str_make("a\0c", 3)), &values_of[1]);
    ck_assert_ptr_eq(map_get(&map, str_make("a", 1)), &values_of[2]);
    map_clear(&map);
}
END_TEST

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

// Clients that come and go: after a million removals, a table with few entries finds as fast as a new one.
START_TEST(ages_well)
{
    enum { ROUNDS = 1000000, ALIVE = 100 };
    static uint64_t names[ALIVE];
    struct map map = {0};
    int value;
    uint64_t next = 0;
    for (; next < ALIVE; next++) {
        names[next] = next;
        map_put(&map, str_make(&names[next], 8), &value);
    }
    unsigned missed = 0;
    double start = seconds();
    for (uint64_t i = 0; i < ROUNDS; i++) {
        uint64_t *name = &names[i % ALIVE];
        missed += map_remove(&map, str_make(name, 8)) == NULL;
        *name = next++;
        map_put(&map, str_make(name, 8), &value);
    }
    double took = seconds() - start;
    ck_assert_uint_eq(missed, 0);
    ck_assert_uint_le(map.capacity, 512);
    ck_assert_msg(took < 5, "%d removals and additions took %.1f s", ROUNDS, took);
    uint64_t absent = UINT64_MAX;
    start = seconds();
    for (int i = 0; i < ROUNDS; i++)
        missed += map_get(&map, str_make(&absent, 8)) == NULL;
    ck_assert_uint_eq(missed, ROUNDS);
    took = seconds() - start;
    ck_assert_msg(took < 2, "%d searches in vain took %.1f s", ROUNDS, took);
    map_clear(&map);
}
END_TEST

START_TEST(gives_memory_back)
{
    enum { MANY = 200000 };
    uint64_t *names = malloc(MANY * sizeof *names);
    struct map map = {0};
    int value;
    for (uint64_t i = 0; i < MANY; i++) {
        names[i] = i;
        map_put(&map, str_make(&names[i], 8), &value);
    }
    for (uint64_t i = 10; i < MANY; i++)
        map_remove(&map, str_make(&names[i], 8));
    ck_assert_uint_eq(map.count, 10);
    ck_assert_uint_le(map.capacity, 128);
    for (uint64_t i = 0; i < MANY; i++)
        if ((map_get(&map, str_make(&names[i], 8)) != NULL) != (i < 10))
            ck_abort_msg("entry %llu", (unsigned long long)i);
    map_clear(&map);
    free(names);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("base map");
    TCase *tests = tcase_create("map");
    tcase_set_timeout(tests, 120);
    tcase_add_unchecked_fixture(tests, name_keys, NULL);
    tcase_add_loop_test(tests, random_operations, 0, 30);
    tcase_add_test(tests, empty);
    tcase_add_test(tests, replaced_key);
    tcase_add_test(tests, keys_with_nul);
    tcase_add_test(tests, ages_well);
    tcase_add_test(tests, gives_memory_back);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
