#include "core/topic/table.h"
#include "test_topic_support.h"

enum { ITEMS = 2000, STEPS = 200000 };

struct item {
    uint64_t hash;
    bool inside;
    bool seen;
};

static bool table_has(const struct table *table, const struct item *item)
{
    struct table_probe probe;
    for (struct item *at = table_probe_first(table, item->hash, &probe); at; at = table_probe_next(&probe))
        if (at == item)
            return true;
    return false;
}

static size_t table_count(const struct table *table)
{
    size_t count = 0;
    for (unsigned i = 0; i < TABLE_SHARDS; i++)
        count += table->shards[i].count;
    return count;
}

// Hashes that crowd at the end and the beginning of few shards, many of them equal: long probes that wrap
// around.
START_TEST(crowded)
{
    struct chance chance = {5};
    struct table table = {0};
    struct item *items = calloc(ITEMS, sizeof *items);
    for (unsigned i = 0; i < ITEMS; i++)
        items[i].hash =
            ((uint64_t)chance_below(&chance, 3) << 56) | (uint32_t)(0 - chance_below(&chance, 300));
    size_t inside = 0;
    for (unsigned step = 0; step < STEPS; step++) {
        // Mostly filling for a while, then mostly emptying.
        bool fill = chance_below(&chance, 100) < (step / 20000 % 2 ? 20U : 80U);
        struct item *item = &items[chance_below(&chance, ITEMS)];
        if (fill == item->inside)
            continue;
        if (fill)
            table_insert(&table, item->hash, item);
        else
            table_remove(&table, item->hash, item);
        item->inside = fill;
        inside += fill ? 1 : (size_t)-1;
        struct item *other = &items[chance_below(&chance, ITEMS)];
        if (table_has(&table, item) != fill || table_has(&table, other) != other->inside)
            ck_abort_msg("step %u", step);
    }
    ck_assert_uint_eq(table_count(&table), inside);
    for (unsigned i = 0; i < ITEMS; i++)
        if (table_has(&table, &items[i]) != items[i].inside)
            ck_abort_msg("item %u", i);
    // A walk in small portions meets each one once.
    struct table_position position = {0};
    size_t met = 0;
    while (position.shard < TABLE_SHARDS) {
        size_t budget = 7;
        struct item *item = table_walk(&table, &position, &budget);
        if (!item)
            continue;
        ck_assert(item->inside && !item->seen);
        item->seen = true;
        met++;
        position.slot++;
    }
    ck_assert_uint_eq(met, inside);
    for (unsigned i = 0; i < ITEMS; i++)
        if (items[i].inside)
            table_remove(&table, items[i].hash, &items[i]);
    // Empty means: no memory held.
    for (unsigned i = 0; i < TABLE_SHARDS; i++)
        ck_assert_ptr_null(table.shards[i].slots);
    free(items);
}
END_TEST

START_TEST(clearing)
{
    struct table table = {0};
    int item = 0;
    for (uint64_t i = 0; i < 1000; i++)
        table_insert(&table, table_mix(i), &item);
    table_clear(&table);
    struct table_probe probe;
    ck_assert_ptr_null(table_probe_first(&table, table_mix(1), &probe));
}
END_TEST

int main(void)
{
    const TTest *tests[] = {crowded, clearing};
    return topic_tests_run("topic table", tests, sizeof tests / sizeof *tests);
}
