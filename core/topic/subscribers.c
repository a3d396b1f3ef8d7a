#include "core/topic/subscribers.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "core/base/memory.h"

enum { CROWD_SMALLEST = 2 };

static struct subscription_target target_of(const struct subscription *subscription)
{
    struct subscription_target target = {
        .session = subscription->session,
        .identifier = subscription->identifier,
        .options = subscription->options,
        .covered = subscription->covered,
    };
    if (subscription->node->kind == TREE_GROUP) {
        target.shared = true;
        target.group = tree_group_of(subscription->node)->number;
    }
    return target;
}

static uint64_t member_hash(const struct tree_node *node, uint64_t session)
{
    return table_mix(session ^ table_mix((uintptr_t)node));
}

static void crowd_resize(struct crowd *crowd, uint32_t capacity)
{
    crowd->targets = memory_resize(crowd->targets, capacity * sizeof *crowd->targets);
    crowd->members = memory_resize(crowd->members, capacity * sizeof(struct subscription *));
    crowd->capacity = capacity;
}

static void crowd_place(struct crowd *crowd, uint32_t slot, struct subscription *subscription)
{
    crowd->targets[slot] = target_of(subscription);
    crowd->members[slot] = subscription;
    subscription->slot = slot;
}

static void crowd_swap(struct crowd *crowd, uint32_t a, uint32_t b)
{
    if (a == b)
        return;
    struct subscription *first = crowd->members[a];
    crowd_place(crowd, a, crowd->members[b]);
    crowd_place(crowd, b, first);
}

static void crowd_go_online(struct crowd *crowd, struct subscription *subscription)
{
    crowd_swap(crowd, subscription->slot, crowd->online++);
}

static void crowd_go_offline(struct crowd *crowd, struct subscription *subscription)
{
    crowd_swap(crowd, subscription->slot, --crowd->online);
}

static bool stands_online(const struct subscription *subscription)
{
    return subscription->node->kind == TREE_GROUP && subscription->online;
}

static void crowd_add(struct table *members, struct crowd *crowd, struct subscription *subscription)
{
    if (crowd->count == crowd->capacity)
        crowd_resize(crowd, crowd->capacity ? crowd->capacity + (crowd->capacity + 1) / 2 : CROWD_SMALLEST);
    crowd_place(crowd, crowd->count++, subscription);
    if (stands_online(subscription))
        crowd_go_online(crowd, subscription);
    table_insert(members, member_hash(subscription->node, subscription->session), subscription);
}

static void crowd_remove(struct table *members, struct crowd *crowd, struct subscription *subscription)
{
    if (stands_online(subscription))
        crowd_go_offline(crowd, subscription);
    crowd_swap(crowd, subscription->slot, --crowd->count);
    if (crowd->capacity > CROWD_SMALLEST && crowd->count < crowd->capacity / 4)
        crowd_resize(crowd, crowd->capacity / 2);
    table_remove(members, member_hash(subscription->node, subscription->session), subscription);
}

static void crowd_free(struct crowd *crowd)
{
    free(crowd->targets);
    free(crowd->members);
    free(crowd);
}

struct subscription *subscribers_find(const struct table *members, const struct tree_node *node,
                                      uint64_t session)
{
    if (!node->crowded) {
        struct subscription *one = node->subscribers.one;
        return one && one->session == session ? one : NULL;
    }
    struct table_probe probe;
    for (struct subscription *member = table_probe_first(members, member_hash(node, session), &probe); member;
         member = table_probe_next(&probe))
        if (member->node == node && member->session == session)
            return member;
    return NULL;
}

void subscribers_add(struct table *members, struct subscription *subscription)
{
    struct tree_node *node = subscription->node;
    struct subscription *one = node->subscribers.one;
    if (!one) {
        node->subscribers.one = subscription;
        return;
    }
    if (!node->crowded) {
        node->subscribers.many = memory_zalloc(sizeof *node->subscribers.many);
        node->crowded = true;
        crowd_add(members, node->subscribers.many, one);
    }
    crowd_add(members, node->subscribers.many, subscription);
}

void subscribers_remove(struct table *members, struct subscription *subscription)
{
    struct tree_node *node = subscription->node;
    if (!node->crowded) {
        node->subscribers.one = NULL;
        return;
    }
    struct crowd *crowd = node->subscribers.many;
    crowd_remove(members, crowd, subscription);
    if (crowd->count > 1)
        return;
    struct subscription *last = crowd->members[0];
    crowd_remove(members, crowd, last);
    crowd_free(crowd);
    node->crowded = false;
    node->subscribers.one = last;
}

void subscribers_update(struct subscription *subscription)
{
    if (subscription->node->crowded)
        subscription->node->subscribers.many->targets[subscription->slot] = target_of(subscription);
}

void subscribers_set_online(struct subscription *subscription, bool online)
{
    subscription->online = online;
    if (!subscription->node->crowded)
        return;
    struct crowd *crowd = subscription->node->subscribers.many;
    if (online)
        crowd_go_online(crowd, subscription);
    else
        crowd_go_offline(crowd, subscription);
}

size_t subscribers_count(const struct tree_node *node)
{
    return node->crowded ? node->subscribers.many->count : node->subscribers.one != NULL;
}

void subscribers_copy(const struct tree_node *node, struct subscription_target *targets)
{
    if (node->crowded)
        memcpy(targets, node->subscribers.many->targets, node->subscribers.many->count * sizeof *targets);
    else if (node->subscribers.one)
        *targets = target_of(node->subscribers.one);
}

// Of `count` members from `first` on, the one whose turn it is and who is not `except`.
static bool turn_take(struct tree_group *group, uint32_t first, uint32_t count, uint64_t except,
                      struct subscription_target *target)
{
    if (count == 0)
        return false;
    const struct subscription_target *targets = group->node.subscribers.many->targets + first;
    uint32_t turn = atomic_fetch_add_explicit(&group->cursor, 1, memory_order_relaxed) % count;
    if (targets[turn].session == except) {
        if (count == 1)
            return false;
        turn = (turn + 1) % count;
    }
    *target = targets[turn];
    return true;
}

bool group_choose(struct tree_group *group, uint64_t except, struct subscription_target *target)
{
    if (!group->node.crowded) {
        *target = target_of(group->node.subscribers.one);
        return except == 0 || target->session != except;
    }
    const struct crowd *crowd = group->node.subscribers.many;
    return turn_take(group, 0, crowd->online, except, target) ||
           turn_take(group, crowd->online, crowd->count - crowd->online, except, target);
}

void subscribers_drop(struct tree_node *node)
{
    if (!node->crowded) {
        free(node->subscribers.one);
        return;
    }
    struct crowd *crowd = node->subscribers.many;
    for (uint32_t i = 0; i < crowd->count; i++)
        free(crowd->members[i]);
    crowd_free(crowd);
}
